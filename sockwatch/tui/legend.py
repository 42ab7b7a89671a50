"""What the help of a screen says about columns and signs.

Each line is a sign and its meaning; a heading has no meaning.
"""

from __future__ import annotations

from collections.abc import Iterator

from sockwatch.tui.symbols import Symbols
from sockwatch.view.column import Row
from sockwatch.view.filter_language import NEGATION_HELP, FilterLanguage
from sockwatch.view.port_columns import PORT_COLUMNS
from sockwatch.view.socket_columns import SOCKET_COLUMNS


def port_columns() -> Iterator[tuple[str, str]]:
    """Explain the columns of the table of ports."""
    yield "Columns", ""
    for column in PORT_COLUMNS:
        wide = f" (from {column.at} columns)" if column.at > 80 else ""
        yield column.title, column.help + wide


def socket_columns() -> Iterator[tuple[str, str]]:
    """Explain the columns of the list of sockets."""
    yield "Columns", ""
    yield from ((column.title, column.help) for column in SOCKET_COLUMNS)


def row_signs(symbols: Symbols) -> Iterator[tuple[str, str]]:
    """Explain the signs before a row of the table of ports."""
    yield "Signs before a row", ""
    yield symbols.cursor, "the cursor"
    yield symbols.new, "this port is new"
    yield symbols.gone, "this port is no longer in use"


def lab_marks() -> Iterator[tuple[str, str]]:
    """Explain the marks of scenarios and processes in the lab."""
    yield "Marks", ""
    yield "-", "the scenario has not been run yet"
    yield "3/8", "three of its eight steps are done"
    yield "runs", "the scenario is running"
    yield "ok", "each prediction was right, and the kernel answered as expected"
    yield "FAIL", "a prediction or an expectation was wrong"
    yield "skip", "the scenario cannot run in this sandbox, or cannot finish there"
    yield "A- -P", "a process has a socket open with SO_REUSEADDR, with SO_REUSEPORT"


def lab_legend(symbols: Symbols) -> Iterator[tuple[str, str]]:
    """Explain the marks of the lab, the columns of its ports and the signs before a row."""
    yield from lab_marks()
    yield " ", ""
    yield from port_columns()
    yield " ", ""
    yield from row_signs(symbols)


def filter_terms(language: FilterLanguage[Row]) -> Iterator[tuple[str, str]]:
    """Explain the terms of a filter."""
    yield "Filter", ""
    yield "text", language.free_text_help
    for name, term in language.terms.items():
        yield f"{name}:", f"{term.help}: {term.example}"
    yield "-term !term", NEGATION_HELP
