"""What was seen of a blocker itself: its holder, its flags, its clock."""

from __future__ import annotations

from collections.abc import Iterator

from sockwatch.bind.evidence import Evidence
from sockwatch.model import ReuseFlags
from sockwatch.units import process_name, spoken_clock


def seen_of_blocker(evidence: Evidence) -> tuple[str, ...]:
    """The facts on which every cause of the blocker rests; at least one."""
    return tuple(_seen(evidence)) or (
        f"the kernel lists {evidence.blocker.what} on {evidence.where}",
    )


def _seen(evidence: Evidence) -> Iterator[str]:
    blocker = evidence.blocker
    if blocker.holders and evidence.processes:
        first = evidence.processes[0]
        fd = next(holder.fd for holder in blocker.holders if holder.pid == first.pid)
        yield f"{process_name(first.name, first.pid)} has it as fd {fd}"
    elif evidence.blocker.without_fd:
        yield "no fd refers to it"
    if blocker.frees_in_s is not None:
        yield f"its clock has {spoken_clock(blocker.frees_in_s)} left"
    if not evidence.is_server:
        yield from _flags(blocker.owner.flags)


def _flags(flags: ReuseFlags) -> Iterator[str]:
    known = {"SO_REUSEADDR": flags.reuseaddr, "SO_REUSEPORT": flags.reuseport}
    has = [name for name, on in known.items() if on]
    lacks = [name for name, on in known.items() if on is False]
    if has:
        yield f"it has {' and '.join(has)}"
    if lacks:
        yield f"it does not have {' or '.join(lacks)}"
