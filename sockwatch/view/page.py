"""The answer about a port: who has it, what a restart and another server would get, what next.

One renderer for the command line, the details and the panel: they differ in width and in length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from sockwatch.bind import BindRequest, Fix, RestartVerdict, explain_restart
from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.fixes import run_as_root
from sockwatch.bind.pair import RequestPair, is_meant
from sockwatch.bind.programs import program
from sockwatch.bind.restart_fixes import restart_fixes
from sockwatch.model import AS_ROOT, Gap, Port, Snapshot
from sockwatch.units import host
from sockwatch.view import port_facts
from sockwatch.view.answer import Answer, flags_line, outcome_words, request_words
from sockwatch.view.code_lines import LANGUAGES, language_of
from sockwatch.view.lines import Kind, Line
from sockwatch.view.names import gap_text
from sockwatch.view.next_steps import step_lines
from sockwatch.view.outside import (
    from_outside,
    gap_from_outside,
    gap_of_host,
    on_its_host,
    title_place,
)
from sockwatch.view.restart import restart_text
from sockwatch.view.verdict import by_rule, condition_text, evidence_text
from sockwatch.view.who import who_lines

LABEL_WIDTH: Final = 10
SHOWN_BLOCKERS: Final = 8
# Causes of a server that is as it should be: nobody wants to be told how to end it.
HEALTHY: Final = frozenset({CauseId.LISTENER, CauseId.WILDCARD_OVERLAP, CauseId.DUAL_STACK})
# Causes of a server that is gone, though something of it has the port.
GONE: Final = frozenset({CauseId.INHERITED_LISTENER, CauseId.ORPHANED_WORKERS})
KINDS: Final[dict[str, Kind]] = {"ok": "good", "depends": "warning"}


@dataclass(frozen=True, slots=True)
class Page:
    """What is known of a port.

    `answer` is to the request in question, `also` to the same one for another address, which a
    server of both families binds too; None if that was not asked. `restart` is that of the port's
    server; None if there is none. `is_outside`: commands are typed in another network namespace.
    """

    snapshot: Snapshot
    answer: Answer
    also: Answer | None
    restart: RestartVerdict | None
    is_outside: bool = False

    @classmethod
    def about(cls, request: BindRequest, snapshot: Snapshot, also: str | None = None) -> Page:
        """Ask about the request, and for the address `also` too.

        Raises SockwatchError if the snapshot was taken of another port only.
        """
        port = snapshot.port(request.protocol, request.port)
        other = None
        if (beside := RequestPair(request, also).other(snapshot.facts)) is not None:
            answer = Answer.to(beside, snapshot)
            other = answer if is_meant(answer.verdict) else None
        restart = None if port is None else explain_restart(port, snapshot)
        return cls(snapshot, Answer.to(request, snapshot), other, restart)

    @property
    def request(self) -> BindRequest:
        """The request in question."""
        return self.answer.verdict.request

    @property
    def port(self) -> Port | None:
        """The port; None if no socket is on it."""
        return self.snapshot.port(self.request.protocol, self.request.port)

    @property
    def fixes(self) -> tuple[Fix, ...]:
        """What to do, the safest first."""
        of_restart = () if self.restart is None else restart_fixes(self.restart)
        worst = self.main.verdict
        found = dict.fromkeys((*of_restart, *worst.fixes))
        fixes = tuple(sorted(found, key=lambda fix: fix.step == "later"))
        as_root = run_as_root(worst, self.snapshot.facts)
        if as_root not in fixes and any(gap.remedy == AS_ROOT for gap in worst.gaps):
            fixes = (*fixes, as_root)
        return self.as_typed(fixes)

    def as_typed(self, fixes: Iterable[Fix]) -> tuple[Fix, ...]:
        """The fixes with their commands as they have to be typed where the asker is."""
        if self.is_outside:
            fixes = (from_outside(fix, self.snapshot.netns) for fix in fixes)
        return tuple(on_its_host(fix, self.snapshot) for fix in fixes)

    def as_asked(self, gaps: Iterable[Gap]) -> tuple[Gap, ...]:
        """The same for what the remedies of gaps ask to type."""
        if self.is_outside:
            gaps = (gap_from_outside(gap, self.snapshot.netns) for gap in gaps)
        return tuple(gap_of_host(gap, self.snapshot) for gap in gaps)

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What was not seen that the answer depends on."""
        return self.as_asked(self.answer.verdict.gaps)

    @property
    def restart_gaps(self) -> tuple[Gap, ...]:
        """What was not seen that a restart depends on, beside what the answer depends on."""
        gaps = () if self.restart is None else self.restart.verdict.gaps
        return self.as_asked(gap for gap in gaps if gap not in self.answer.verdict.gaps)

    @property
    def main(self) -> Answer:
        """The answer that is to be explained: one that fails, about an address that is served."""
        if self.also is None:
            return self.answer
        served = {sock.address for sock in self.port.listeners} if self.port else set()
        if self.answer.verdict.outcome == self.also.verdict.outcome:
            return self.also if self.also.verdict.request.address in served else self.answer
        return self.also if self.answer.verdict.outcome == "ok" else self.answer

    @property
    def language(self) -> str:
        """What the server is written in, by its executable; Python, if that does not tell."""
        process = None if self.port is None else port_facts.first_process(self.port)
        return LANGUAGES[0] if process is None else language_of(program(process))

    @property
    def is_healthy(self) -> bool:
        """Whether a server has the port, as it should be."""
        cause = self.main.verdict.cause
        return self.restart is not None and (cause is None or cause.id in HEALTHY)


def page_lines(page: Page, language: str) -> Iterator[Line]:
    """All but the evidence."""
    who = who_lines(page.request, page.snapshot)
    if place := title_place(page.snapshot, is_outside=page.is_outside):
        title = next(who)
        yield title._replace(text=f"{place}, {title.text}")
    yield from who
    yield from answer_lines(page)
    for index, line in enumerate(step_lines(page.fixes, language)):
        yield labelled("" if index else "next", line)
    for index, gap in enumerate(page.gaps):
        yield labelled("" if index else "not seen", Line("warning", gap_text(gap)))


def answer_lines(page: Page, *, with_request: bool = True) -> Iterator[Line]:
    """What a restart would get, and what another server; `with_request` says what it asks for."""
    if page.restart is not None:
        kind = kind_of(page.restart.verdict.outcome, page.restart.frees_in_s)
        cause = page.main.verdict.cause
        is_gone = cause is not None and cause.id in GONE
        text = restart_text(page.restart, server_is_gone=is_gone)
        yield labelled("restart", Line(kind, text))
    for index, (answer, text) in enumerate(_texts(page, with_request=with_request)):
        if page.restart is not None:  # it is no news that a port which is served is taken
            yield labelled("" if index else "another", Line("text", text))
        else:
            kind = kind_of(answer.verdict.outcome, answer.verdict.frees_in_s)
            if answer.verdict.cause is not None and answer.verdict.cause.id == CauseId.REDIRECTED:
                kind = "warning"
            yield labelled("" if index else "bind", Line(kind, text))


def _texts(page: Page, *, with_request: bool) -> Iterator[tuple[Answer, str]]:
    """One sentence for both addresses, if they get the same."""
    answer, also = page.answer, page.also
    if also is None:
        where = request_words(page.request) if with_request else ""
        yield answer, _answer_text(answer, where)
    elif also.outcomes == answer.outcomes and not _reach_differs(answer, also):
        where = " and ".join(host(each.verdict.request.address) for each in (answer, also))
        yield answer, _answer_text(page.main, where)
    else:
        for each in (answer, also):
            yield each, _answer_text(each, request_words(each.verdict.request))


def _reach_differs(answer: Answer, also: Answer) -> bool:
    """Whether NAT rules take the traffic of one address, and not that of the other."""
    causes = (answer.verdict.cause, also.verdict.cause)
    redirected = {cause for cause in causes if cause and cause.id == CauseId.REDIRECTED}
    return bool(redirected) and causes[0] != causes[1]


def _answer_text(answer: Answer, where: str) -> str:
    """``EADDRINUSE with any flags on 0.0.0.0: nginx(812) listens on 0.0.0.0:80``."""
    verdict = answer.verdict
    place = f" on {where}" if where else ""
    text = f"{flags_line(answer)}{place}"
    if (verdict.request.reuseaddr or verdict.request.reuseport) and len(set(answer.outcomes)) > 1:
        text = f"{outcome_words(verdict.outcome)}{place}; {flags_line(answer)}"
    if verdict.cause is not None:
        return f"{text}: {verdict.cause.text}"
    return text if verdict.reason is None else f"{text}: {verdict.reason.text}"


def evidence_lines(page: Page) -> Iterator[Line]:
    """Why: the evidence of the cause, the blockers by the rule that blocks, what it depends on."""
    verdict = page.main.verdict
    if verdict.cause is not None and verdict.cause.evidence:
        yield Line("section", "why")
        yield Line("text", evidence_text(verdict.cause), 2)
    if verdict.blockers:
        yield Line("section", "blocked by")
    for rule, blockers in by_rule(verdict.blockers, SHOWN_BLOCKERS):
        yield Line("text", rule, 2)
        yield from (Line("warning", blocker, 4) for blocker in blockers)
    if verdict.conditions:
        yield Line("section", "it depends")
    for condition in verdict.conditions:
        yield Line("warning", condition_text(condition), 2)
    if page.restart_gaps:
        yield Line("section", "not seen of a restart")
    for gap in page.restart_gaps:
        yield Line("warning", gap_text(gap), 2)


def labelled(label: str, line: Line) -> Line:
    """The line in the column beside the labels."""
    if not label:
        return line._replace(indent=LABEL_WIDTH + line.indent)
    text = f"{label:<{LABEL_WIDTH}}{line.text}"
    return line._replace(text=text, indent=0, hang=LABEL_WIDTH + line.hang)


def kind_of(outcome: str, frees_in_s: float | None) -> Kind:
    """How an outcome is coloured: what ends by itself needs attention, no more."""
    return KINDS.get(outcome, "bad" if frees_in_s is None else "warning")
