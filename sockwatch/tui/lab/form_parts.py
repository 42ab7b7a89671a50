"""What a form is made of: fields one line high, told from each other without colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Checkbox, Input, RadioButton, RadioSet, Static

WRONG_SIGN: Final = "!"


class FieldLabel(Static):
    """The name of a field; a sign before it tells that something is wrong with it."""

    def __init__(self, text: str) -> None:
        super().__init__(f" {text}", markup=False)
        self._text = text

    def mark(self, *, wrong: bool) -> None:
        self.set_class(wrong, "-wrong")
        self.update(f"{WRONG_SIGN if wrong else ' '}{self._text}")


class TextField(Horizontal):
    """A box for a line of text, `width` cells wide."""

    def __init__(self, name: str, label: str, value: str, width: int) -> None:
        super().__init__(id=name, classes="field")
        self._label = FieldLabel(label)
        self._box = Input(value, compact=True)
        self._box.cursor_blink = False
        self._box.styles.width = width

    def compose(self) -> ComposeResult:
        yield self._label
        yield Static(" [", markup=False, classes="bracket")
        yield self._box
        yield Static("]", markup=False, classes="bracket")

    @property
    def value(self) -> str:
        return self._box.value.strip()

    def mark(self, *, wrong: bool) -> None:
        self._label.mark(wrong=wrong)
        self._box.set_class(wrong, "-wrong")


class _Tick(Checkbox):
    BUTTON_LEFT = "["
    BUTTON_RIGHT = "]"

    def __init__(self, label: str, *, value: bool) -> None:
        super().__init__(label, value, compact=True)
        self.BUTTON_INNER = "x" if value else " "

    def watch_value(self) -> None:
        self.BUTTON_INNER = "x" if self.value else " "
        super().watch_value()


class TickField(Horizontal):
    """Yes or no."""

    def __init__(self, name: str, label: str, *, value: bool) -> None:
        super().__init__(id=name, classes="field")
        self._label = FieldLabel("")
        self._tick = _Tick(label, value=value)

    def compose(self) -> ComposeResult:
        yield self._label
        yield self._tick

    @property
    def value(self) -> bool:
        return self._tick.value

    def mark(self, *, wrong: bool) -> None:
        self._label.mark(wrong=wrong)
        self._tick.set_class(wrong, "-wrong")


class _Radio(RadioButton):
    BUTTON_LEFT = "("
    BUTTON_RIGHT = ")"
    BUTTON_INNER = " "

    def __init__(self, label: str) -> None:
        super().__init__(label, compact=True)

    def watch_value(self) -> None:
        self.BUTTON_INNER = "*" if self.value else " "
        super().watch_value()


class _Radios(RadioSet):
    """Moving to a choice chooses it."""

    def action_next_button(self) -> None:
        super().action_next_button()
        self._choose()

    def action_previous_button(self) -> None:
        super().action_previous_button()
        self._choose()

    def _choose(self) -> None:
        if self.pressed_button is not None:  # None as it comes up, before the first is pressed
            self.action_toggle_button()


class ChoiceField(Horizontal):
    """One of a few words."""

    def __init__(self, name: str, label: str, choices: Sequence[str], value: str) -> None:
        super().__init__(id=name, classes="field")
        self._label = FieldLabel(label)
        self._choices = choices
        self._first = value
        self._buttons = [_Radio(choice) for choice in choices]

    def compose(self) -> ComposeResult:
        yield self._label
        yield Static(" ", classes="bracket")
        yield _Radios(*self._buttons, compact=True)

    def on_mount(self) -> None:
        # Pressed now and not made so, since only then the arrow keys start from it.
        self._buttons[self._choices.index(self._first)].value = True

    @property
    def value(self) -> str:
        index = self.query_one(_Radios).pressed_index
        return self._choices[index] if index >= 0 else self._first

    def mark(self, *, wrong: bool) -> None:
        self._label.mark(wrong=wrong)
