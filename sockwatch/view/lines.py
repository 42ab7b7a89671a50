"""Lines for people: what each one is, and how it is wrapped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

from sockwatch.view.fit import wrap

Kind = Literal["title", "section", "text", "warning", "process", "command"]
UNWRAPPED: Final = ("process", "command")  # a tree would break, and a command is to be pasted


class Line(NamedTuple):
    """A line and what it is, so that it can be styled. `indent` is in cells."""

    kind: Kind
    text: str
    indent: int = 0

    def __str__(self) -> str:
        return " " * self.indent + self.text


def wrapped(lines: Iterable[Line], width: int) -> Iterator[Line]:
    """The lines in `width` cells; what continues a line is indented by two more."""
    for line in lines:
        if line.kind in UNWRAPPED:
            yield line
        else:
            for piece in wrap(line.text, width - line.indent, "", "  "):
                yield line._replace(text=piece)
