"""What the panel says of the failures in one row."""

from __future__ import annotations

from collections.abc import Iterator

from sockwatch.view import failures
from sockwatch.view.folding import Fold
from sockwatch.view.names import gap_text, origin_text
from sockwatch.view.verdict import blockers_line, fix_text


def fold_lines(fold: Fold, home_netns: int | None = None) -> Iterator[str]:
    """The most important first: what failed how often, what was in the way, and who it was.

    The network namespace is named if it is not `home_netns`.
    """
    last, failure = fold.last, fold.last.failure
    yield fold.text
    yield failures.why(last)
    if last.fixes:
        yield fix_text(last.fixes[0])
    if last.blockers:
        yield blockers_line(last.blockers)
    yield (
        f"last at {failures.time_of_day(failure.time)}: {failures.who(failure)} {failure.call}"
        f" {failures.kind(failure)} {failures.endpoint(failure)}"
        f"{failures.flags(failure)} {failure.errno}{failures.in_netns(last, home_netns)}"
    )
    process = failure.process
    if process is not None:
        parent = f", child of {failure.parent_name}" if failure.parent_name else ""
        origin = f", {origin_text(process.origin)}" if process.origin else ""
        yield f"{process.command or process.name} of user {process.user}{parent}{origin}"
    if last.explained:
        yield from map(gap_text, last.gaps)
