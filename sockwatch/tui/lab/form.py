"""What the forms of free play have in common: fields that are checked as they are typed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, Generic, TypeAlias, TypeVar

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Checkbox, Input, RadioSet, Static

from sockwatch.tui.commands import FORM_COMMANDS, FORM_FOOTER, bindings
from sockwatch.tui.lab.checks import Surroundings, Wrong
from sockwatch.tui.lab.form_parts import ChoiceField, TextField, TickField
from sockwatch.tui.symbols import Symbols
from sockwatch.tui.widgets.footer_bar import FooterBar
from sockwatch.tui.widgets.lines import LineWidget
from sockwatch.tui.widgets.panel import Panel

_HEIGHTS: Final = ((0, "-low"), (22, "-usual"))

Wish = TypeVar("Wish")
Field: TypeAlias = TextField | TickField | ChoiceField


class Form(ModalScreen[Wish | None], Generic[Wish]):
    """Ends with the wish, or None. A subclass gives the rows of fields, and reads them."""

    BINDINGS: ClassVar = bindings(FORM_COMMANDS)
    HINT = "Tab goes on, Space ticks, arrow keys choose, Enter in a text starts"

    def __init__(self, symbols: Symbols, title: str, around: Surroundings) -> None:
        super().__init__()
        self.VERTICAL_BREAKPOINTS = list(_HEIGHTS)
        self.symbols = symbols
        self._title = title
        self.around = around
        self._fields: dict[str, Field] = {}

    def rows(self) -> Sequence[tuple[str, Sequence[Field]]]:
        """Rows of fields, each after a heading or none."""
        raise NotImplementedError

    def read(self) -> tuple[Wish, tuple[Wrong, ...]]:
        """What the fields ask for, and what is wrong with them."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        yield Static(f" {self._title}", markup=False, classes="form-title")
        with Vertical(id="form-rows"):
            for heading, fields in self.rows():
                self._fields |= {str(field.id): field for field in fields}
                text = Static(f" {heading}", markup=False, classes="form-heading")
                first = " -first" if heading else ""
                yield Horizontal(text, *fields, classes=f"form-row{first}")
        yield Panel()
        yield FooterBar(FORM_FOOTER)

    def on_mount(self) -> None:
        for widget in self.query(LineWidget):
            widget.symbols = self.symbols
        self._check()

    def text(self, name: str) -> str:
        value = self._fields[name].value
        assert isinstance(value, str)
        return value

    def ticked(self, name: str) -> bool:
        return self._fields[name].value is True

    def _check(self) -> Wish | None:
        """Mark what is wrong; the wish if nothing is."""
        wish, wrong = self.read()
        named = {one.field for one in wrong}
        for name, field in self._fields.items():
            field.mark(wrong=name in named)
        if wrong:
            label = self.LABELS.get(wrong[0].field, wrong[0].field)
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            self.query_one(Panel).show((f"! {label}: {wrong[0].text}{more}",))
            return None
        self.query_one(Panel).show((self.HINT,))
        return wish

    LABELS: ClassVar[dict[str, str]] = {}

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._check()

    def on_checkbox_changed(self, event: Checkbox.Changed) -> None:
        event.stop()
        self._check()

    def on_radio_set_changed(self, event: RadioSet.Changed) -> None:
        event.stop()
        self._check()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_submit()

    def action_submit(self) -> None:
        wish = self._check()
        if wish is not None:
            self.dismiss(wish)

    def action_back(self) -> None:
        self.dismiss(None)
