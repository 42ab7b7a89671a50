"""The panel under the table: what a restart of the port's server would get, and why."""

from __future__ import annotations

from collections.abc import Iterator

from sockwatch.model import Port, Snapshot
from sockwatch.units import endpoint
from sockwatch.view.summary import summary
from sockwatch.view.verdict import Answer, matrix_line, restart_request, short_lines


def panel(port: Port, snapshot: Snapshot) -> tuple[str, ...]:
    """The most important line first; what is not about the verdict comes last."""
    return (*_verdict_lines(port, snapshot), *summary(port, snapshot)[1:])


def _verdict_lines(port: Port, snapshot: Snapshot) -> Iterator[str]:
    request = restart_request(port)
    answer = Answer.to(request, snapshot)
    who = "a new server" if port.protocol == "tcp" else "a new socket"
    where = endpoint(request.address, request.port)
    yield f"{port.number}/{port.protocol}  {who} on {where} would get"
    yield matrix_line(answer)
    yield from map(str, short_lines(answer.verdict))
