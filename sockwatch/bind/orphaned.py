"""Workers without their master: it has gone, and they keep its listening socket."""

from __future__ import annotations

from typing import Final

from sockwatch.bind import fixes
from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.evidence import Evidence, Explanation
from sockwatch.bind.model import Cause, Fix
from sockwatch.bind.programs import program
from sockwatch.model import Orphan, Process
from sockwatch.units import process_name, spoken_duration

MOST_NAMED: Final = 12


def orphaned(evidence: Evidence) -> Explanation | None:
    """All that hold it are alike, and the one who started them is not among them, but gone."""
    workers = _without_parent(evidence.processes)
    orphans = [worker.orphan for worker in workers if worker.orphan is not None]
    if len(orphans) < len(workers) or not _are_of_one_start(evidence, workers, orphans):
        return None
    first = orphans[0]
    is_certain = len(workers) > 1 and all(orphan.is_certain for orphan in orphans)
    gone = "is gone" if is_certain else "is probably gone"
    listens = evidence.verb("listens" if evidence.request.protocol == "tcp" else "receives")
    their = "its" if len(workers) == 1 else "their"
    text = f"{_named(evidence, workers)} {listens} on {evidence.where} without {their} master"
    parent = f"{their} parent now is {first.reaper}"
    seen = [f"{parent}, which is not in {their} session" if first.is_certain else parent]
    if len(workers) > 1:
        seen += [f"all run {program(workers[0])}", "none has started another one"]
    return Cause(CauseId.ORPHANED_WORKERS, f"{text}, which {gone}", tuple(seen)), _end(evidence)


def _without_parent(processes: list[Process]) -> list[Process]:
    """Those whose parent has no fd of the socket, the oldest first."""
    pids = {process.pid for process in processes}
    return _oldest_first([each for each in processes if each.parent_pid not in pids])


def _oldest_first(processes: list[Process]) -> list[Process]:
    return sorted(processes, key=lambda process: (process.start_time, process.pid))


def _are_of_one_start(evidence: Evidence, workers: list[Process], orphans: list[Orphan]) -> bool:
    """Whether one master has started all of them.

    A socket gets to several processes by their common master only; those that have a socket each,
    by SO_REUSEPORT, may be daemons of one kind. One process may be a daemon as well: it forks
    twice, and then looks like a worker, unless it is part of a job.
    """
    if len({(program(w), o.reaper) for w, o in zip(workers, orphans, strict=True)}) != 1:
        return False
    if len(workers) == 1:
        return len(evidence.processes) == 1 and orphans[0].is_certain and orphans[0].is_job
    sharing = {holder.pid for holder in evidence.owner_holders}
    if sharing.issuperset(worker.pid for worker in workers):
        return True
    return orphans[0].is_certain and len({orphan.group for orphan in orphans}) == 1


def _named(evidence: Evidence, workers: list[Process]) -> str:
    """``gunicorn(12) and gunicorn(13), started 3 h ago``: each with its age where they differ."""
    ages = [spoken_duration(evidence.snapshot.time - worker.start_time) for worker in workers]
    names = [process_name(worker.name, worker.pid) for worker in workers]
    is_one_age = len(set(ages)) == 1
    if not is_one_age:
        names = [f"{name} of {age}" for name, age in zip(names, ages, strict=True)]
    if len(names) > MOST_NAMED:
        names[MOST_NAMED:] = [f"{len(names) - MOST_NAMED} more"]
    *others, last = names
    text = f"{', '.join(others)} and {last}" if others else last
    return f"{text}, started {ages[0]} ago," if is_one_age else text


def _end(evidence: Evidence) -> tuple[Fix, ...]:
    processes, facts = _oldest_first(evidence.processes), evidence.snapshot.facts
    leave = fixes.leave(processes, facts.ancestors)
    return fixes.end(processes, evidence.failing, facts) or leave
