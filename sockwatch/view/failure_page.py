"""A failed call in full: what failed, why, what is in the way, and what to do."""

from __future__ import annotations

from collections.abc import Iterator

from sockwatch.bind.failure import ExplainedFailure
from sockwatch.bind.programs import program
from sockwatch.view import failures
from sockwatch.view.code_lines import language_of
from sockwatch.view.lines import Line
from sockwatch.view.names import gap_text
from sockwatch.view.next_steps import step_lines
from sockwatch.view.page import SHOWN_BLOCKERS, labelled
from sockwatch.view.verdict import by_rule, evidence_text


def failure_title(explained: ExplainedFailure, home_netns: int | None = None) -> str:
    """``nginx(812) bind tcp 0.0.0.0:80 (reuseaddr) EADDRINUSE``; the namespace if not at home."""
    failure = explained.failure
    what = f"{failure.call} {failures.kind(failure)} {failures.endpoint(failure)}"
    where = failures.in_netns(explained, home_netns)
    return f"{failures.who(failure)} {what}{failures.flags(failure)} {failure.errno}{where}"


def failure_lines(explained: ExplainedFailure, home_netns: int | None = None) -> Iterator[Line]:
    """The lines of `sockwatch why` for the request that failed, at the moment when it did."""
    failure, cause = explained.failure, explained.cause
    yield Line("title", failure_title(explained, home_netns))
    text = failures.why(explained) if cause is None else cause.text
    yield labelled(failure.call, Line("bad", text))
    if cause is not None and cause.evidence:
        yield labelled("", Line("text", evidence_text(cause)))
    for rule, blockers in by_rule(explained.blockers, SHOWN_BLOCKERS):
        yield labelled("blockers", Line("text", rule))
        yield from (labelled("", Line("warning", blocker, 2)) for blocker in blockers)
    language = language_of(program(failure.process) if failure.process else failure.comm)
    for index, line in enumerate(step_lines(explained.fixes, language)):
        yield labelled("" if index else "next", line)
    if explained.explained:
        for index, gap in enumerate(explained.gaps):
            yield labelled("" if index else "not seen", Line("warning", gap_text(gap)))
