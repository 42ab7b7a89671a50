"""The columns of the table of failures, those of one program on one address in a row."""

from __future__ import annotations

from functools import lru_cache

from sockwatch.units import short_count
from sockwatch.view import failures
from sockwatch.view.column import NOTHING, Column, layout, visible
from sockwatch.view.folding import Fold, rate

FOLD_COLUMNS: tuple[Column[Fold], ...] = (
    Column(
        "last", "LAST", 8, "Time of the latest failure", at=59,
        cell=lambda fold, _: failures.time_of_day(fold.last.failure.time),
    ),
    Column(
        "times", "TIMES", 5, "How many times this program failed on this address", at=50,
        align="right",
        cell=lambda fold, _: short_count(fold.count),
    ),
    Column(
        "every", "EVERY", 7, "Mean time from one failure to the next", at=67, align="right",
        cell=lambda fold, _: NOTHING if fold.every_s is None else rate(fold.every_s),
    ),
    Column(
        "call", "CALL", 6, "bind() or listen()", at=90,
        cell=lambda fold, _: fold.last.failure.call,
    ),
    Column(
        "proto", "PROTO", 5, "tcp, udp or unix",
        cell=lambda fold, _: failures.kind(fold.last.failure),
    ),
    Column(
        "address", "ADDRESS", 15, "The address and port, or the path, that the call asked for",
        at=0, flex=4, widest=108,
        cell=lambda fold, _: failures.host_or_path(fold.last.failure),
        mark=lambda fold, _: failures.port_mark(fold.last.failure),
    ),
    Column(
        "error", "ERROR", 14, "The kernel's answer; ! means the rules do not explain it", at=0,
        cell=lambda fold, _: fold.last.failure.errno,
        mark=lambda fold, _: "" if fold.last.explained else "!",
    ),
    Column(
        "program", "PROGRAM", 12, "The program; its latest process is described below the table",
        at=44, flex=1, widest=24,
        cell=lambda fold, _: fold.key.program,
    ),
)  # fmt: skip


@lru_cache(maxsize=8)
def fold_columns_for(width: int) -> tuple[Column[Fold], ...]:
    """The columns of a screen of `width` cells, laid out."""
    return layout(visible(FOLD_COLUMNS, width), width)
