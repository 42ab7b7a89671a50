"""What the cells of a port mean, for their colour; each says it in its text, too."""

from __future__ import annotations

from typing import Final

from sockwatch.model import Port
from sockwatch.view.lines import Kind
from sockwatch.view.port_columns import RESTART

OK: Final = "ok"
NO: Final = "no"
ATTENTION: Final = frozenset("!*")


def cell_kind(key: str, port: Port, text: str) -> Kind | None:
    """``bad`` where something blocks, ``warning`` where it ends by itself or needs attention."""
    if key == RESTART:
        return _restart_kind(text)
    if key == "queue" and any(sock.is_queue_full for sock in port.listeners):
        return "bad"
    if key == "reuse" and not ATTENTION.isdisjoint(text):
        return "warning"
    if key == "process" and not (port.holders or port.listeners or port.bound):
        return _leftover_kind(port)
    return None


def _restart_kind(text: str) -> Kind | None:
    if text in (OK, NO):
        return "good" if text == OK else "bad"
    return "warning" if text[:1].isdigit() else None


def _leftover_kind(port: Port) -> Kind | None:
    """What is left over without a process: a mini socket has a clock, an orphan waits for its peer.

    Where a process may hold the connections, they are as they should be.
    """
    if port.groups and all(group.mini for group in port.groups):
        return "warning"
    return "bad" if port.orphans else None
