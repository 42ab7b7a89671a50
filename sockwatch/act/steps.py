"""The steps of a plan, each in words, with its risk and the command that does the same."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from sockwatch.act.model import EndTarget, Step, StepKind
from sockwatch.bind import fixes
from sockwatch.bind.acts import DestroySockets, StopContainer, StopUnits
from sockwatch.bind.model import Blocker, Fix, Verdict
from sockwatch.units import endpoint, plural, verb

Inodes = Mapping[int, AbstractSet[int]]  # of the blocking sockets, by the pid of a holder


def end_by_signal(
    targets: Sequence[EndTarget],
    *,
    by_sigkill: bool,
    after_master: bool = False,
    asks: bool = False,
) -> Step:
    """End them, after a question where it `asks`; with `after_master` only what is left by then."""
    first = targets[0]
    subject = first.name if len(targets) == 1 else f"{first.name} and {len(targets) - 1} more"
    pids = [target.pid for target in targets]
    command = fixes.kill(*pids, signal="KILL" if by_sigkill else None)
    stopped = [target.pid for target in targets if target.stopped]
    if stopped and not by_sigkill:
        command = f"{command} && {fixes.kill(*stopped, signal='CONT')}"
    risk = "its clients lose their connections"
    if by_sigkill:
        risk = "what it has not written is lost"
        text = f"end {subject} by SIGKILL, once you agree to that: SIGTERM does nothing"
    elif after_master:
        text = f"end what is left of {plural(len(targets), 'worker')}: {subject}, by SIGTERM"
    else:
        text = f"end {subject} by SIGTERM"
    if asks:
        text += "; it only inherited the socket"
    return Step(
        StepKind.SIGNAL,
        text,
        command,
        risk + fixes.restarted_by(target.process for target in targets),
        subject,
        tuple(targets),
        asks=asks,
        by_sigkill=by_sigkill,
        follows=after_master,
    )


def stop_units(fix: Fix, act: StopUnits, inodes: Inodes) -> Step:
    """Have their manager stop them."""
    targets = (EndTarget(p, frozenset(inodes.get(p.pid, ()))) for p in act.processes)
    words = fixes.systemctl_words(act.manager_uid, "--no-ask-password", "stop", "--", *act.units)
    return Step(
        StepKind.STOP_UNIT,
        fix.text,
        fix.command,
        "what the unit serves is down until somebody starts it",
        " and ".join(act.units),
        tuple(targets),
        argv=words,
        manager_uid=act.manager_uid,
    )


def stop_container(fix: Fix, act: StopContainer) -> Step:
    """Have its runtime stop it."""
    return Step(
        StepKind.STOP_CONTAINER,
        fix.text,
        shlex.join(act.argv),
        "all that the container serves is down until somebody starts it",
        act.label,
        argv=act.argv,
    )


def destroy(fix: Fix, act: DestroySockets, blocker: Blocker, verdict: Verdict) -> Step:
    """End leftover sockets, as root."""
    where = endpoint(act.address, verdict.request.port)
    return Step(
        StepKind.DESTROY,
        f"destroy {blocker.what} on {where}; no process holds them",
        fix.command,
        "a late packet of an old connection may reach a new one",
        f"{blocker.what} on {where}",
        in_netns=True,
        sockets=act,
    )


def wait(blocker: Blocker, seconds: float | None) -> Step:
    """Wait until it has gone by itself, in `seconds`; None if it has no clock."""
    has = verb(blocker.count, "has")
    if not blocker.without_fd:
        text = "wait until what is left of its connections has gone, usually 60 s"
    elif seconds is None:
        text = f"wait until {blocker.what} {has} gone: the kernel gives up on the peer in minutes"
    else:
        text = f"wait {math.ceil(seconds)} s until {blocker.what} {has} gone; nobody holds that"
    return Step(StepKind.WAIT, text, None, None, blocker.what)
