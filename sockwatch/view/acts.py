"""What can be done with a port, in words: free it, wait for it, copy a command, see more of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from sockwatch.act.model import StepKind
from sockwatch.act.plan import plan
from sockwatch.bind import BindRequest
from sockwatch.bind.pair import DUAL_STACK, RequestPair
from sockwatch.model import Port
from sockwatch.units import host, spoken_clock
from sockwatch.view.answer import WILDCARD, flags_line, request_words
from sockwatch.view.clients import is_client
from sockwatch.view.outside import where
from sockwatch.view.page import Page
from sockwatch.view.plan import target_text
from sockwatch.view.who import who

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sockwatch.act.model import Plan
    from sockwatch.bind import Fix, Verdict
    from sockwatch.model import NetnsKey, Protocol, Snapshot

ActId = Literal["free", "destroy", "wait", "stop waiting", "copy", "details"]


HINTS: Final[dict[ActId, str]] = {
    "free": "shows the plan and asks: nothing is done before",
    "destroy": "shows the plan and asks: nothing is done before",
    "copy": "copies the command to the terminal's clipboard (OSC 52)",
}


SHOWN_TARGETS: Final = 1
OF_A_CLIENT: Final = "not to be freed: a client has it as its source port; it goes with the client"


class Act(NamedTuple):
    """Something valid for a port. `text` is what it would do, `command` what `copy` copies.

    `plan` is what `free` and `destroy` would carry out; None while nobody has looked closely.
    """

    id: ActId
    text: str
    command: str | None = None
    plan: Plan | None = None

    @property
    def hint(self) -> str:
        """What choosing it does at once; empty where `text` says it."""
        return HINTS.get(self.id, "")

    @property
    def whom(self) -> tuple[str, ...]:
        """The processes that it would end, a line each: name, pid, user, unit, age and command."""
        targets = () if self.plan is None else self.plan.targets
        if self.plan is None or not targets:
            return ()
        shown = tuple(target_text(target, self.plan.time) for target in targets[:SHOWN_TARGETS])
        more = len(targets) - len(shown)
        return (*shown, f"and {more} more") if more else shown

    @property
    def key(self) -> tuple[str, str | None]:
        """What tells it from the other acts, in this look and the next."""
        return (self.id, self.command)


class Acts(NamedTuple):
    """The acts, the first one being what most people come for. `note` says why one is missing."""

    acts: tuple[Act, ...]
    note: str = ""


def whole_port(protocol: Protocol, number: int) -> RequestPair:
    """What has to succeed for the port to be free: bind() on the wildcard of either family."""
    return RequestPair(BindRequest(protocol, WILDCARD, number), DUAL_STACK)


def acts_on(
    pair: RequestPair,
    snapshot: Snapshot,
    *,
    is_outside: bool = False,
    is_waited_for: bool = False,
    shows_details: bool = True,
) -> Acts:
    """What is valid for the port of the requests, which are to succeed.

    `is_outside`: commands are typed in another network namespace.
    `is_waited_for`: somebody waits already until it is free. `shows_details`: there is a screen
    with more to open.
    """
    page = replace(Page.about(pair.request, snapshot, pair.also), is_outside=is_outside)
    freeing, note, advice = _freeing(page)
    acts = [
        *freeing,
        *_waiting(page, is_waited_for=is_waited_for),
        *(Act("copy", fix.command, fix.command) for fix in (*advice, *page.fixes) if fix.command),
    ]
    if shows_details:
        acts.append(Act("details", "show every socket, holder and flag, and what blocks a bind()"))
    return Acts(tuple({act.key: act for act in acts}.values()), note)


def acts_title(pair: RequestPair, snapshot: Snapshot, *, is_outside: bool = False) -> str:
    """``8080/tcp is held by nginx(812)``; which network namespace that is in, if not our own."""
    text = who(pair.request, snapshot)
    return f"{where(snapshot.netns)}, {text}" if is_outside else text


class _Freeing(NamedTuple):
    """To free the port, and to do so at once; else why that is not offered, and what would help."""

    acts: list[Act]
    note: str = ""
    advice: tuple[Fix, ...] = ()


def _freeing(page: Page) -> _Freeing:
    port = page.port
    if port is None or page.main.verdict.outcome == "ok":
        return _Freeing([])
    if is_client(port, page.snapshot):
        return _Freeing([], OF_A_CLIENT)
    if page.snapshot.only_port != port.number:  # too little is known of its processes
        return _Freeing([Act("free", "looking at who holds it")])
    plans = _plan(page), _plan(page, destroy=True)
    is_more_than_a_wait = any(step.kind != StepKind.WAIT for step in plans[0].steps)
    acts = [Act("free", plan_text(plans[0]), plan=plans[0])] if is_more_than_a_wait else []
    # Sockets can be destroyed only where we are ourselves.
    if plans[1].steps and signature(plans[1]) != signature(plans[0]) and not page.is_outside:
        acts.append(Act("destroy", plan_text(plans[1]), plan=plans[1]))
    refusals = plans[0].refusals
    if not refusals:
        return _Freeing(acts)
    if acts:
        return _Freeing(acts, f"let be: {refusals[0].text}")
    return _Freeing(acts, f"not to be freed: {refusals[0].text}", plans[0].advice)


def free_plan(
    pair: RequestPair, snapshot: Snapshot, *, is_outside: bool = False, destroy: bool = False
) -> Plan:
    """How both requests are made to succeed. With `destroy`, leftovers are not waited for.

    `is_outside`: as for acts_on(). Raises SockwatchError if the snapshot was taken of another port
    only.
    """
    page = Page.about(pair.request, snapshot, pair.also)
    return _plan(replace(page, is_outside=is_outside), destroy=destroy)


def _plan(page: Page, *, destroy: bool = False) -> Plan:
    also = None if page.also is None else page.also.verdict
    found = plan(page.answer.verdict, page.snapshot, also=also, destroy=destroy)
    return replace(found, advice=page.as_typed(found.advice))


def _waiting(page: Page, *, is_waited_for: bool) -> Iterator[Act]:
    if is_waited_for:
        yield Act("stop waiting", "say nothing when the port is free")
        return
    verdict = page.main.verdict
    if verdict.outcome == "ok":
        return
    text = f"tell when {request_text(page)} would succeed"
    if verdict.frees_in_s is not None:
        text += f": in {spoken_clock(verdict.frees_in_s)}, if nobody takes the port"
    yield Act("wait", text)


def request_text(page: Page) -> str:
    """``bind() on 0.0.0.0 and [::]``, ``bind() on 127.0.0.1 (reuseaddr)``."""
    also = "" if page.also is None else f" and {host(page.also.verdict.request.address)}"
    return f"bind() on {request_words(page.request)}{also}"


def port_of(pair: RequestPair, snapshot: Snapshot) -> Port:
    """The port of the requests; one without sockets where nobody has it."""
    key = (pair.request.protocol, pair.request.port)
    return snapshot.port(*key) or Port(*key, {})


class Goal(NamedTuple):
    """What is waited for: that the requests succeed, in this network namespace."""

    pair: RequestPair
    netns: NetnsKey
    name: str

    @classmethod
    def of(cls, pair: RequestPair, snapshot: Snapshot, *, is_outside: bool = False) -> Goal:
        """The goal of somebody who sees the port so; `is_outside` as for acts_on()."""
        name = f"{pair.request.port}/{pair.request.protocol}"
        netns = snapshot.netns
        return cls(pair, netns.key, f"{name} {where(netns)}" if is_outside else name)

    def waiting_text(self, verdict: Verdict | None = None, refused: str = "") -> str:
        """``waiting for 9000/tcp, 41 s``: `verdict` is in the way, or the look was `refused`."""
        text = f"waiting for {self.name}"
        if refused:
            return f"{text}: {refused}"
        seconds = None if verdict is None else verdict.frees_in_s
        return text if seconds is None else f"{text}, {spoken_clock(seconds)}"

    @property
    def freed_text(self) -> str:
        """``9000/tcp is free: bind() would succeed now``."""
        return f"{self.name} is free: bind() would succeed now"

    def given_up_text(self, refused: str) -> str:
        """``no longer waiting for 9000/tcp: netns blue cannot be entered``."""
        return f"no longer waiting for {self.name}: {refused}"


def now_text(pair: RequestPair, snapshot: Snapshot) -> str:
    """What bind() gets now: ``succeeds with SO_REUSEADDR, EADDRINUSE without; free in 58 s``."""
    page = Page.about(pair.request, snapshot, pair.also)
    seconds = page.main.verdict.frees_in_s
    clock = "" if seconds is None else f"; free in {spoken_clock(seconds)}"
    return f"{flags_line(page.main)}{clock}"


def plan_text(of: Plan) -> str:
    """The steps in one line: ``stop web.service, then wait 58 s until 801 TIME_WAIT has ...``."""
    return ", then ".join(step.text for step in of.steps)


def signature(of: Plan) -> tuple[object, ...]:
    """What the plan would do to whom; its texts change with every second of a clock."""
    return tuple(
        (
            step.kind,
            step.argv,
            step.asks,
            step.by_sigkill,
            step.sockets,
            tuple((target.pid, target.process.start_ticks) for target in step.targets),
            None if step.kind == StepKind.WAIT else step.subject,
        )
        for step in of.steps
    )
