"""Folded failures as rows of a table, and one of them in lines."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

from sockwatch.units import short_count
from sockwatch.view import failures
from sockwatch.view.fit import Align, fit
from sockwatch.view.folding import Fold, rate
from sockwatch.view.verdict import blockers_line

MARGIN: Final = 1
LEAST_ADDRESS: Final = 16


class FoldColumn(NamedTuple):
    """`help` says what stands in it."""

    title: str
    width: int  # 0: what the others leave
    align: Align
    help: str


FOLD_COLUMNS: Final = (
    FoldColumn("LAST", 8, "left", "When it failed last"),
    FoldColumn("TIMES", 5, "right", "How often this program failed on this address"),
    FoldColumn("EVERY", 7, "right", "The mean time from one failure to the next"),
    FoldColumn("CALL", 6, "left", "bind() or listen()"),
    FoldColumn("PROTO", 5, "left", "tcp, udp or unix"),
    FoldColumn("ADDRESS", 0, "left", "The address and port that was asked for, or a path"),
    FoldColumn("ERROR", 13, "left", "What the kernel answered; ! is not explained by the rules"),
    FoldColumn("PROGRAM", 12, "left", "The program; its last process is below the table"),
)


def fold_cells(fold: Fold) -> tuple[str, ...]:
    """A text for each column."""
    failure = fold.last.failure
    return (
        _clock(failure.time),
        short_count(fold.count),
        "-" if fold.every_s is None else rate(fold.every_s),
        failure.call,
        failure.protocol or failures.UNKNOWN,
        failures.endpoint(failure),
        failure.errno + ("" if fold.last.explained else "!"),
        fold.key.program,
    )


def fold_row(cells: tuple[str, ...], width: int, ellipsis: str) -> str:
    """The cells in a line of that width."""
    fixed = sum(column.width for column in FOLD_COLUMNS) + len(FOLD_COLUMNS) - 1 + MARGIN
    rest = max(LEAST_ADDRESS, width - fixed)
    texts = (
        fit(text, column.width or rest, column.align, ellipsis)
        for column, text in zip(FOLD_COLUMNS, cells, strict=True)
    )
    return " ".join(texts)


def fold_lines(fold: Fold) -> Iterator[str]:
    """The most important first: what failed how often, what was in the way, and who it was."""
    last, failure = fold.last, fold.last.failure
    yield fold.text
    yield failures.why(last)
    if last.blockers:
        yield blockers_line(last.blockers)
    for fix in last.fixes[:1]:
        yield f"{fix.text}: {fix.command}" if fix.command else fix.text
    yield (
        f"last at {_clock(failure.time)}: {failures.who(failure)} {failure.call}"
        f" {failure.protocol or failures.UNKNOWN} {failures.endpoint(failure)}"
        f"{failures.flags(failure)} {failure.errno}"
    )
    process = failure.process
    if process is not None:
        parent = f", child of {failure.parent_name}" if failure.parent_name else ""
        unit = f", {process.unit}" if process.unit else ""
        yield f"{process.command or process.name} of user {process.user}{parent}{unit}"
    if last.explained:
        yield from (f"{gap.text} ({gap.remedy})" for gap in last.gaps)


def _clock(time: float) -> str:
    return datetime.fromtimestamp(time).astimezone().strftime("%H:%M:%S")
