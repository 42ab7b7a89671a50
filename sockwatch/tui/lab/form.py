"""The screen of a form, whose fields are checked as they are typed."""

from __future__ import annotations

from typing import ClassVar, Final, Generic

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Checkbox, Input, RadioSet, Static

from sockwatch.lab.languages.translation import Translation
from sockwatch.tui.commands import bindings
from sockwatch.tui.lab.checks import Limits
from sockwatch.tui.lab.fields import Spec, Table
from sockwatch.tui.lab.form_parts import widget_for
from sockwatch.tui.lab.keys import FORM_COMMANDS, FORM_FOOTER
from sockwatch.tui.symbols import Symbols
from sockwatch.tui.widgets.footer_bar import FooterBar
from sockwatch.tui.widgets.lines import LineWidget
from sockwatch.tui.widgets.panel import Panel

_HEIGHTS: Final = ((0, "-low"), (22, "-usual"))


class Form(ModalScreen[tuple[str, Spec] | None], Generic[Spec]):
    """Dismissed with the name of a process and its spec; None means that the user went back.

    `name` and `spec` are what the form shows at first.
    """

    BINDINGS: ClassVar = bindings(FORM_COMMANDS)
    HINT = "Tab: next field; Space: tick; arrow keys: choose; Enter in a text field: start"

    def __init__(
        self,
        symbols: Symbols,
        say: Translation,
        title: str,
        table: Table[Spec],
        name: str,
        spec: Spec,
        limits: Limits,
    ) -> None:
        super().__init__()
        self.VERTICAL_BREAKPOINTS = list(_HEIGHTS)
        self.symbols = symbols
        self._say = say
        self._title = title
        self._table: Table[Spec] = table
        self._spec: Spec = spec
        self._limits = limits
        inputs = table.inputs(name, spec)
        self._widgets = {
            field.name: widget_for(field, inputs[field.name], say) for field in table.fields
        }

    def compose(self) -> ComposeResult:
        yield Static(f" {self._title}", markup=False, classes="form-title")
        with Vertical(id="form-rows"):
            for row in self._table.rows:
                heading = Static(f" {self._say(row.heading)}", markup=False, classes="form-heading")
                widgets = [self._widgets[field.name] for field in row.fields]
                first = " -first" if row.heading else ""
                yield Horizontal(heading, *widgets, classes=f"form-row{first}")
        yield Panel()
        footer = FooterBar(FORM_FOOTER)
        footer.say = self._say
        yield footer

    def on_mount(self) -> None:
        for widget in self.query(LineWidget):
            widget.symbols = self.symbols
        self._check()

    def _check(self) -> tuple[str, Spec] | None:
        """Mark what is wrong; return what the form asks for if nothing is."""
        inputs = {name: widget.value for name, widget in self._widgets.items()}
        reading = self._table.read(self._spec, inputs, self._limits, self._say)
        wrong = {mistake.field for mistake in reading.mistakes}
        for field_name, widget in self._widgets.items():
            widget.mark(wrong=field_name in wrong)
        if mistakes := reading.mistakes:
            text = mistakes[0].text
            if len(mistakes) > 1:
                text = self._say(
                    "{mistake} (and {more} more)", mistake=text, more=len(mistakes) - 1
                )
            self.query_one(Panel).show_text(f"! {text}")
            return None
        self.query_one(Panel).show_text(self._say(self.HINT))
        return reading.name, reading.spec

    @on(Input.Changed)
    @on(Checkbox.Changed)
    @on(RadioSet.Changed)
    def check_changed(self, event: Input.Changed | Checkbox.Changed | RadioSet.Changed) -> None:
        event.stop()
        self._check()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_submit()

    def action_submit(self) -> None:
        request = self._check()
        if request is not None:
            self.dismiss(request)

    def action_back(self) -> None:
        self.dismiss(None)
