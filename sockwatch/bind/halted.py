"""Holders that do not run: stopped, traced, frozen, or asleep in the kernel for long."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Final

from sockwatch.bind import fixes
from sockwatch.bind.acts import EndProcesses, Resume
from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.evidence import Evidence, Explanation
from sockwatch.bind.model import Cause, Fix
from sockwatch.model import Halt, HaltKind, Process
from sockwatch.units import process_name

LONG_SLEEP_S: Final = 1.0  # a page fault, a busy disk or vfork(2) is over by then


def halted(evidence: Evidence) -> Explanation | None:
    """None of the holders runs: one that does would still serve, and is the cause by itself."""
    processes = evidence.processes
    if not all(process.halt is not None or _sleeps_long(process) for process in processes):
        return None
    first = processes[0]
    seen = seen_of_halts(evidence)
    if first.halt is None:
        text = f"{evidence.does('is')} asleep in the kernel (state D) and"
        look = Fix("see what it waits for", f"cat /proc/{first.pid}/wchan")
        text = f"{text} {evidence.verb('keeps')} {evidence.where} until that ends"
        return Cause(CauseId.HOLDER_UNINTERRUPTIBLE, text, seen), (*evidence.stop(), look)
    identity, word, todo = _ways_out(evidence, first.halt)
    text = f"{evidence.does('is')} {word}, {evidence.verb('answers')} nobody and still"
    return Cause(identity, f"{text} {evidence.verb('holds')} {evidence.where}", seen), todo


def seen_of_halts(evidence: Evidence) -> tuple[str, ...]:
    """What the kernel shows of those that do not run, each by its name."""
    return tuple(
        f"{process_name(process.name, process.pid)} {what}"
        for process in evidence.processes
        for what in _seen(process)
    )


def _sleeps_long(process: Process) -> bool:
    return process.sleeps_s is not None and process.sleeps_s >= LONG_SLEEP_S


def _seen(process: Process) -> Iterator[str]:
    if process.halt is not None and process.halt.kind == HaltKind.FROZEN:
        yield f"is in the frozen cgroup {process.halt.by or '?'}"
    elif process.halt is not None and process.halt.kind == HaltKind.TRACED:
        yield f"is stopped by its tracer {process.halt.by or '?'} (state t)"
    elif process.halt is not None:
        yield "is stopped (state T)"
    elif process.sleeps_s is not None and _sleeps_long(process):
        yield f"has been in one uninterruptible sleep for at least {int(process.sleeps_s)} s"


def _ways_out(evidence: Evidence, halt: Halt) -> tuple[CauseId, str, tuple[Fix, ...]]:
    stop = evidence.stop()
    if halt.kind == HaltKind.FROZEN:
        ends = (fix._replace(step="then") for fix in stop)
        return CauseId.HOLDER_FROZEN, "frozen", (*_thaw(evidence), *ends)
    if halt.kind == HaltKind.TRACED:
        tracers = dict.fromkeys(p.halt.by or "its tracer" for p in evidence.processes if p.halt)
        wait = Fix(f"let {' and '.join(tracers)} go on or detach: signals wait until then")
        pids = [process.pid for process in evidence.processes]
        now = Fix(
            "end it by SIGKILL, which does not wait",
            fixes.kill(*pids, signal="KILL"),
            act=EndProcesses(tuple(evidence.processes), by_sigkill=True),
        )
        # The manager of a service sends SIGKILL too, when its time is over.
        by_signal = all(isinstance(fix.act, EndProcesses | Resume) for fix in stop)
        ways = (now,) if stop and by_signal else stop
        return CauseId.HOLDER_TRACED, "stopped by a tracer", (wait, *ways)
    return CauseId.HOLDER_STOPPED, "stopped", stop


def _thaw(evidence: Evidence) -> Iterator[Fix]:
    halts = dict.fromkeys(process.halt for process in evidence.processes)
    for halt in halts:
        if halt is not None and halt.kind == HaltKind.FROZEN:
            command = None
            if halt.by is not None and halt.thaw is not None:
                command = halt.thaw.format(shlex.quote(halt.by))
            text = "thaw it, as root (docker unpause and systemctl thaw do that too)"
            yield Fix(text, command)
