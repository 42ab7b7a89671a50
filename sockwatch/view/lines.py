"""Lines for people: what each one is, and how it is wrapped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

from sockwatch.view.fit import wrap

Kind = Literal[
    "title", "section", "text", "warning", "process", "command", "call", "good", "bad"
]  # fmt: skip
UNWRAPPED: Final = ("process", "command")  # a tree would break, and a command is to be pasted


class Line(NamedTuple):
    """A line and what it is, so that it can be styled.

    `indent` is in cells; what continues the line is indented by `hang` more.
    """

    kind: Kind
    text: str
    indent: int = 0
    hang: int = 2

    def __str__(self) -> str:
        return " " * self.indent + self.text


def wrapped(lines: Iterable[Line], width: int) -> Iterator[Line]:
    """The lines in `width` cells."""
    for line in lines:
        if line.kind in UNWRAPPED:
            yield line
        else:
            for piece in wrap(line.text, width - line.indent, "", " " * line.hang):
                yield line._replace(text=piece)
