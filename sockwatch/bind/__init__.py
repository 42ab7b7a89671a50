"""What the kernel would answer to bind() and listen(), and what blocks them. Pure: no I/O."""

from sockwatch.bind.model import (
    BindRequest,
    Blocker,
    Cause,
    Condition,
    Fix,
    Outcome,
    Rule,
    Verdict,
)
from sockwatch.bind.restart import RestartVerdict, explain_restart
from sockwatch.bind.verdict import explain_bind, matrix
from sockwatch.model import HostFacts, Link, OwnAddress, Route, RouteTable

__all__ = [
    "BindRequest",
    "Blocker",
    "Cause",
    "Condition",
    "Fix",
    "HostFacts",
    "Link",
    "Outcome",
    "OwnAddress",
    "RestartVerdict",
    "Route",
    "RouteTable",
    "Rule",
    "Verdict",
    "explain_bind",
    "explain_restart",
    "matrix",
]
