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
from sockwatch.bind.verdict import explain_bind, matrix
from sockwatch.model import HostFacts, OwnAddress

__all__ = [
    "BindRequest",
    "Blocker",
    "Cause",
    "Condition",
    "Fix",
    "HostFacts",
    "Outcome",
    "OwnAddress",
    "Rule",
    "Verdict",
    "explain_bind",
    "matrix",
]
