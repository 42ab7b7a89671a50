"""What the panel says of the failures in one row."""

from __future__ import annotations

from collections.abc import Iterator

from sockwatch.units import UNKNOWN
from sockwatch.view import failures
from sockwatch.view.folding import Fold
from sockwatch.view.names import gap_text
from sockwatch.view.verdict import blockers_line, fix_text


def fold_lines(fold: Fold) -> Iterator[str]:
    """The most important first: what failed how often, what was in the way, and who it was."""
    last, failure = fold.last, fold.last.failure
    yield fold.text
    yield failures.why(last)
    if last.fixes:
        yield fix_text(last.fixes[0])
    if last.blockers:
        yield blockers_line(last.blockers)
    yield (
        f"last at {failures.time_of_day(failure.time)}: {failures.who(failure)} {failure.call}"
        f" {failure.protocol or UNKNOWN} {failures.endpoint(failure)}"
        f"{failures.flags(failure)} {failure.errno}"
    )
    process = failure.process
    if process is not None:
        parent = f", child of {failure.parent_name}" if failure.parent_name else ""
        unit = f", {process.unit}" if process.unit else ""
        yield f"{process.command or process.name} of user {process.user}{parent}{unit}"
    if last.explained:
        yield from map(gap_text, last.gaps)
