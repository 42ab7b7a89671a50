"""What the help of a screen says of columns and signs: each line a sign and a text.

A heading has no text.
"""

from __future__ import annotations

from collections.abc import Iterator

from sockwatch.tui.symbols import Symbols
from sockwatch.view.filter import FREE_TEXT_HELP, NEGATION_HELP, TERMS
from sockwatch.view.port_columns import PORT_COLUMNS
from sockwatch.view.socket_columns import SOCKET_COLUMNS


def port_columns() -> Iterator[tuple[str, str]]:
    yield "Columns", ""
    for column in PORT_COLUMNS:
        wide = f" (from {column.at} columns)" if column.at > 80 else ""
        yield column.title, column.help + wide


def socket_columns() -> Iterator[tuple[str, str]]:
    yield "Columns", ""
    yield from ((column.title, column.help) for column in SOCKET_COLUMNS)


def row_signs(symbols: Symbols) -> Iterator[tuple[str, str]]:
    yield "Signs before a row", ""
    yield symbols.cursor, "the cursor"
    yield symbols.new, "this port is new"
    yield symbols.gone, "this port has just gone"


def lab_marks() -> Iterator[tuple[str, str]]:
    yield "Marks", ""
    yield "-", "the scenario has not been run yet"
    yield "3/8", "three of its eight steps are done"
    yield "runs", "it runs"
    yield "ok", "each prediction was right, and the kernel answered as expected"
    yield "FAIL", "a prediction or an expectation was wrong"
    yield "skip", "it cannot be run in this sandbox, or not to its end"
    yield "A- -P", "a process has a socket open with SO_REUSEADDR, with SO_REUSEPORT"


def lab_legend(symbols: Symbols) -> Iterator[tuple[str, str]]:
    """What the lab's help explains: its marks, the columns of its ports, the signs before a row."""
    yield from lab_marks()
    yield " ", ""
    yield from port_columns()
    yield " ", ""
    yield from row_signs(symbols)


def filter_terms() -> Iterator[tuple[str, str]]:
    yield "Filter", ""
    yield "text", FREE_TEXT_HELP
    for name, term in TERMS.items():
        yield f"{name}:", f"{term.help}: {term.example}"
    yield "-term !term", NEGATION_HELP
