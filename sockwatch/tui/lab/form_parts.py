"""The widgets of a form: fields one line high, told apart without colour."""

from __future__ import annotations

from typing import Final

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Checkbox, Input, RadioButton, RadioSet, Static

from sockwatch.lab.languages.translation import Translation
from sockwatch.tui.lab import checks
from sockwatch.tui.lab.fields import ChoiceField, Field, TextField, TickField

WRONG_SIGN: Final = "!"


class FieldLabel(Static):
    """The name of a field; a sign before it says that the input is wrong."""

    def __init__(self, text: str) -> None:
        super().__init__(f" {text}", markup=False)
        self._text = text

    def mark(self, *, wrong: bool) -> None:
        self.set_class(wrong, "-wrong")
        self.update(f"{WRONG_SIGN if wrong else ' '}{self._text}")


class FieldWidget(Horizontal):
    """A label and a control, with a few characters `before` and `after` the control."""

    def __init__(
        self, field: Field, label: str, control: Widget, before: str = "", after: str = ""
    ) -> None:
        super().__init__(id=field.name, classes="field")
        self._label = FieldLabel(label)
        self._control = control
        self._around = (before, after)

    @property
    def value(self) -> checks.Input:
        """What is typed, ticked or chosen."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        before, after = (Static(text, markup=False, classes="bracket") for text in self._around)
        yield from (self._label, before, self._control, after)

    def mark(self, *, wrong: bool) -> None:
        self._label.mark(wrong=wrong)
        self._control.set_class(wrong, "-wrong")


class TextBox(FieldWidget):
    """A line of text between brackets."""

    def __init__(self, field: TextField, value: str, say: Translation) -> None:
        self._box = Input(value, compact=True)
        self._box.cursor_blink = False
        self._box.styles.width = field.width
        super().__init__(field, say(field.label), self._box, " [", "]")

    @property
    def value(self) -> str:
        return self._box.value.strip()


class _Tick(Checkbox):
    BUTTON_LEFT = "["
    BUTTON_RIGHT = "]"

    def __init__(self, label: str, *, value: bool) -> None:
        super().__init__(label, value, compact=True)
        self.BUTTON_INNER = "x" if value else " "

    def watch_value(self) -> None:
        self.BUTTON_INNER = "x" if self.value else " "
        super().watch_value()


class TickBox(FieldWidget):
    """Yes or no; the label stands after the tick."""

    def __init__(self, field: TickField, say: Translation, *, value: bool) -> None:
        self._tick = _Tick(say(field.label), value=value)
        super().__init__(field, "", self._tick)

    @property
    def value(self) -> bool:
        return self._tick.value


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
        if self.pressed_button is not None:  # None while mounting, before the first is pressed
            self.action_toggle_button()


class ChoiceButtons(FieldWidget):
    """One of a few words, all of which are shown."""

    def __init__(self, field: ChoiceField, value: str, say: Translation) -> None:
        self._choices = field.choices
        self._first = value
        self._buttons = [_Radio(say(choice)) for choice in field.choices]
        self._radios = _Radios(*self._buttons, compact=True)
        super().__init__(field, say(field.label), self._radios, " ")

    def on_mount(self) -> None:
        # Pressed only now, since the arrow keys start from a button pressed after mounting.
        self._buttons[self._choices.index(self._first)].value = True

    @property
    def value(self) -> str:
        index = self._radios.pressed_index
        return self._choices[index] if index >= 0 else self._first


def widget_for(field: Field, value: checks.Input, say: Translation) -> FieldWidget:
    """The widget of a field, showing this input."""
    match field, value:
        case TextField(), str():
            return TextBox(field, value, say)
        case ChoiceField(), str():
            return ChoiceButtons(field, value, say)
        case TickField(), bool():
            return TickBox(field, say, value=value)
    raise TypeError(f"{field} cannot show {value!r}")
