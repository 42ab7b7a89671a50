"""A plan to free a port, and what is told while it is carried out. Frozen values; no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from sockwatch.bind.acts import DestroySockets
from sockwatch.bind.model import BindRequest, Fix, Verdict
from sockwatch.model import Process
from sockwatch.model.ids import Id
from sockwatch.units import process_name

PATIENCE_S: Final = 10.0  # after SIGTERM, before anybody is asked about SIGKILL


class StepKind(Id):
    """How a step frees the port."""

    STOP_UNIT = "stop-unit", "systemctl(1) stops units in their manager"
    STOP_CONTAINER = "stop-container", "the runtime stops a container"
    SIGNAL = "signal", "processes get SIGTERM, and SIGKILL only if that is agreed to"
    WAIT = "wait", "sockets that no process holds go by themselves"
    DESTROY = "destroy", "the kernel destroys sockets that no process holds"


class RefusalCode(Id):
    """Why something in the way is let be."""

    PROTECTED = "protected", "it runs services, containers, logins, or this very sockwatch"
    SESSION = "session", "the session of who asks runs through this port"
    SUPERVISED = "supervised", "a supervisor would start it again: that has to stop it"
    CLIENT = "client", "it is a client that has the port as its source port"
    NOT_PERMITTED = "not-permitted", "it belongs to another user, and only root may end it"
    UNSEEN = "unseen", "who holds it could not be seen"
    NOT_CERTAIN = "not-certain", "whether it is in the way at all is not known"
    NOTHING_TO_STOP = "nothing-to-stop", "bind() fails for another reason than a holder"
    BY_HAND = "by-hand", "only a person can do what has to be done"


class EndTarget(NamedTuple):
    """A process that a step ends.

    `inodes` are those of sockets that block, of which it holds one at least. `inherited`: it has
    the socket from its parent and runs another program. `stopped`: it gets SIGCONT after SIGTERM.
    """

    process: Process
    inodes: frozenset[int] = frozenset()
    inherited: bool = False
    stopped: bool = False

    @property
    def pid(self) -> int:
        """Its pid, as our pid namespace numbers it."""
        return self.process.pid

    @property
    def name(self) -> str:
        """``nginx(812)``."""
        return process_name(self.process.name, self.process.pid)


@dataclass(frozen=True, slots=True)
class Step:
    """One act of a plan.

    `text` says it in the imperative. `command` is what a person would type for the same; None where
    no command does it. `risk` is what it may cost, as a sentence; None if nothing. `targets` are
    the processes that it ends, the one that stands for all first; empty where it ends none, or
    a container. `subject` is what it acts on: ``nginx.service``, ``container web2``,
    ``gunicorn(4242)``, ``801 TIME_WAIT``. `asks`: it is agreed to on its own, after the plan.
    `by_sigkill`: SIGTERM does nothing here, so that the only signal is SIGKILL. `argv` is what is
    run for it, without a shell; empty where nothing is. `in_netns`: `command` acts on the network
    namespace that it runs in. `follows`: the targets may end by themselves, now that those of the
    step before have, as workers do with their master; only what is left gets a signal.
    `sockets` are those that DESTROY destroys, `manager_uid` the user whose manager STOP_UNIT asks;
    None there means the system's.
    """

    kind: StepKind
    text: str
    command: str | None
    risk: str | None
    subject: str
    targets: tuple[EndTarget, ...] = ()
    asks: bool = False
    by_sigkill: bool = False
    argv: tuple[str, ...] = ()
    in_netns: bool = False
    follows: bool = False
    sockets: DestroySockets | None = None
    manager_uid: int | None = None


class Refusal(NamedTuple):
    """Something in the way that the plan lets be, and why, as a sentence."""

    code: RefusalCode
    text: str
    process: Process | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """How to make `request` succeed, and what is not done for it. From plan().

    `verdict` is what the plan was made for, `also` that of another address which the same words
    mean, such as ``::``; None if none. `steps` are carried out in this order; none where the
    port is free, or nothing may be done: then `refusals` say why. `advice` is what a person may do
    instead or has to do besides. `time` is that of the snapshot, in seconds since the epoch.
    """

    request: BindRequest
    verdict: Verdict
    steps: tuple[Step, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    advice: tuple[Fix, ...] = ()
    time: float = 0.0
    also: Verdict | None = None

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """That of the request, and the other one."""
        return (self.verdict,) if self.also is None else (self.verdict, self.also)

    @property
    def main(self) -> Verdict:
        """The first of them that fails, else that of the request."""
        return next((each for each in self.verdicts if each.outcome != "ok"), self.verdict)

    @property
    def is_free(self) -> bool:
        """Whether nothing is in the way, so that there is nothing to do."""
        return all(verdict.outcome == "ok" for verdict in self.verdicts)

    @property
    def may_suffice(self) -> bool:
        """Whether nothing is let be that is known to be in the way."""
        return all(refusal.code == RefusalCode.NOT_CERTAIN for refusal in self.refusals)

    @property
    def may_be_closing(self) -> bool:
        """Whether what is let be has no holder that is seen, as while a process ends."""
        return bool(self.refusals) and all(
            refusal.code == RefusalCode.UNSEEN for refusal in self.refusals
        )

    @property
    def targets(self) -> tuple[EndTarget, ...]:
        """The processes that the steps end."""
        return tuple(target for step in self.steps for target in step.targets)


class EventKind(Id):
    """What is told while a plan is carried out."""

    BEGUN = "begun", "a step begins"
    TOLD = "told", "how a step goes on: whom a signal was sent to, what is waited for"
    DONE = "done", "the step has done what it says"
    LET_BE = "let-be", "a target was let be: it is not what was shown, or nobody agreed"
    FAILED = "failed", "the step could not be done"
    CAME_BACK = "came-back", "a new process has the port: somebody has started it again"
    CANCELLED = "cancelled", "who asked has stopped it; what is done stays done: the last event"
    VERDICT = "verdict", "what bind() and listen() would get now: the last event"


class Event(NamedTuple):
    """One line of the story. `step` is None before and after the steps.

    `verdict` is set with VERDICT alone: the proof, made after everything else.
    """

    kind: EventKind
    text: str
    step: Step | None = None
    verdict: Verdict | None = None
