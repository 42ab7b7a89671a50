"""A listener that does not accept: the kernel drops what its queue has no room for."""

from __future__ import annotations

from collections.abc import Iterator

from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.evidence import Evidence, Explanation
from sockwatch.bind.model import Cause
from sockwatch.model import Socket
from sockwatch.units import plural


def queue_full(evidence: Evidence) -> Explanation | None:
    """It runs, and accepts too slowly or not at all: why one wants to start it again."""
    owner = evidence.blocker.owner
    if not isinstance(owner, Socket) or not owner.is_queue_full:
        return None
    does = evidence.does("listens")
    text = f"{does} on {evidence.where}, and clients hang: the accept queue is full"
    return Cause(CauseId.ACCEPT_QUEUE_FULL, text, seen_of_queue(evidence)), evidence.stop_or_leave()


def seen_of_queue(evidence: Evidence) -> tuple[str, ...]:
    """What waits in the accept queue of a listener, and what has not got that far."""
    return tuple(_seen(evidence.blocker.owner))


def _seen(owner: object) -> Iterator[str]:
    if not isinstance(owner, Socket) or owner.state != "LISTEN":
        return
    if owner.is_queue_full:
        waiting = plural(owner.queue or 0, "connection")
        yield f"its accept queue has {waiting}, one more than its backlog"
    elif owner.queue:
        yield f"{plural(owner.queue, 'connection')} in its accept queue"
    if owner.drops:
        yield f"the kernel has dropped {plural(owner.drops, 'packet')} to it"
