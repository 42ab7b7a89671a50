"""What the kernel would answer to bind() and listen(), and what is in the way. Pure: no I/O."""

from sockwatch.bind.model import BindRequest, Blocker, Condition, Outcome, Rule, Verdict
from sockwatch.bind.verdict import explain_bind, matrix
from sockwatch.model import HostFacts, OwnAddress

__all__ = [
    "BindRequest",
    "Blocker",
    "Condition",
    "HostFacts",
    "Outcome",
    "OwnAddress",
    "Rule",
    "Verdict",
    "explain_bind",
    "matrix",
]
