"""The processes on the stage, and what each of them has open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sockwatch.lab.model import LONGEST_NAME, ServerSpec
from sockwatch.tui.lab.news import Member
from sockwatch.tui.widgets.lines import Line
from sockwatch.tui.widgets.scroll_lines import ScrollLines
from sockwatch.units import endpoint
from sockwatch.view.fit import fit

NOBODY: Final = "no process"


class CastList(ScrollLines):
    """The cursor stays on its process."""

    def __init__(self) -> None:
        super().__init__()
        self._members: Sequence[Member] = ()

    def show(self, members: Sequence[Member]) -> None:
        was = self.member
        self._members = members
        names = [member.name for member in members]
        if was is not None and was.name in names:
            self.cursor = names.index(was.name)
        self.cursor = max(0, min(self.cursor, self.total - 1))
        self.show_cursor()
        self.redraw()

    @property
    def total(self) -> int:
        return len(self._members)

    @property
    def member(self) -> Member | None:
        """The process under the cursor."""
        return self._members[self.cursor] if self._members else None

    def row_text(self) -> str:
        return "" if self.member is None else member_words(self.member)

    def line(self, y: int) -> Line:
        if y == 0 and not self._members:
            return ((f" {NOBODY}", "-dim"),)
        return super().line(y)

    def item(self, index: int, *, selected: bool) -> Line:
        member = self._members[index]
        base = self.base_style(selected=selected)
        sign = self.symbols.cursor if selected else " "
        longest = max(len(one.name) for one in self._members)
        name = fit(member.name, min(longest, LONGEST_NAME))
        text = fit(
            f"{name} {member.pid} {opened_words(member)}",
            self.size.width - 1,
            ellipsis=self.symbols.ellipsis,
        )
        return ((sign, base), (text, base or ("-warn" if member.stopped else "")))


def opened_words(member: Member) -> str:
    """``STOPPED 10013 A-``: what it has open, and its reuse flags."""
    words = [f"{spec.port} {_letters(spec)}" for spec in member.opened]
    return " ".join(["STOPPED"] * member.stopped + words)


def member_words(member: Member) -> str:
    """The same with every address."""
    words = [
        f"{one.protocol} {endpoint(one.address, one.port)} {_letters(one)}" for one in member.opened
    ]
    state = " stopped" if member.stopped else ""
    return f"{member.name} pid {member.pid}{state}  {', '.join(words)}".rstrip()


def _letters(spec: ServerSpec) -> str:
    return ("A" if spec.reuseaddr else "-") + ("P" if spec.reuseport else "-")
