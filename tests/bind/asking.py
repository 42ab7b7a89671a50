"""Asking why a port is taken, and doing what is said."""

from __future__ import annotations

import errno
import shlex
import socket
import subprocess
from contextlib import ExitStack

from sockwatch.bind import BindRequest, Verdict, explain_bind
from sockwatch.bind.failure import ExplainedFailure
from sockwatch.kernel.snapshot import SnapshotReader

PORT = 8080


def why(
    protocol: str = "tcp", address: str = "127.0.0.1", reader: SnapshotReader | None = None
) -> Verdict:
    """The verdict, which must be what the kernel says to the same request."""
    request = BindRequest(protocol, address, PORT)  # type: ignore[arg-type]
    with ExitStack() as stack:
        used = reader or stack.enter_context(SnapshotReader())
        verdict = explain_bind(request, used.take(PORT))
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    answer = "ok"
    with socket.socket(socket.AF_INET, kind) as sock:
        try:
            sock.bind((address, PORT))
        except OSError as error:
            answer = errno.errorcode[error.errno or 0]
    assert verdict.bind == answer
    return verdict


def cause(found: Verdict | ExplainedFailure) -> tuple[str, str]:
    """Its id, and all that it says."""
    assert found.cause is not None
    assert found.cause.evidence
    return found.cause.id, " ".join((found.cause.text, *found.cause.evidence))


def carry_out(verdict: Verdict) -> None:
    """Every command, in its order."""
    for fix in verdict.fixes:
        if fix.command and fix.command.startswith("kill "):
            subprocess.run(shlex.split(fix.command), check=True)
