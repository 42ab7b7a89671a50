"""The bottom line: the keys of the screen, or a hint while typing."""

from __future__ import annotations

from textual import events

from sockwatch.lab.languages.translation import ENGLISH
from sockwatch.tui.commands import Command
from sockwatch.tui.widgets.lines import Line, LineWidget
from sockwatch.view.fit import cell_width


class FooterBar(LineWidget):
    """Shows as many commands as fit; a click runs one."""

    say = ENGLISH

    def __init__(self, commands: tuple[Command, ...]) -> None:
        super().__init__()
        self._commands = commands
        self._hint: Line = ()

    def show_commands(self, commands: tuple[Command, ...]) -> None:
        self._commands = commands
        self.redraw()

    def show_hint(self, text: str, style: str = "") -> None:
        """Show `text` in place of the keys, or the keys again for an empty one."""
        self._hint = ((f" {text}", style),) if text else ()
        self.redraw()

    def line(self, _y: int) -> Line:
        if self._hint:
            return self._hint
        pieces: list[tuple[str, str]] = []
        for command, _ in self._placed():
            pieces += [(f" {command.key_names[0]}", "-key"), (f" {self.say(command.footer)} ", "")]
        return tuple(pieces)

    def _placed(self) -> list[tuple[Command, int]]:
        """Each command that fits, and where it ends."""
        placed: list[tuple[Command, int]] = []
        end = 0
        for command in self._commands:
            end += cell_width(command.key_names[0]) + cell_width(self.say(command.footer)) + 3
            if end <= self.size.width:
                placed.append((command, end))
        return placed

    async def on_click(self, event: events.Click) -> None:
        if self._hint:
            return
        for command, end in self._placed():
            if event.x < end:
                await self.run_action(command.action)
                return
