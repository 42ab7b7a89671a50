"""A form as one table: what each field is called, how it is typed and checked, and what it sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, asdict, dataclass, replace
from typing import Any, Final, Generic, NamedTuple, TypeVar

from sockwatch.lab.languages.translation import ENGLISH, Translation
from sockwatch.lab.model import ClientSpec, ServerSpec
from sockwatch.tui.lab.checks import FormInput, Input, InputError, Limits

Spec = TypeVar("Spec", ServerSpec, ClientSpec)

REQUIRED: Final = object()


def unchecked(value: Input, _form: FormInput) -> Input:
    """The check of a field in which nothing can be wrong."""
    return value


@dataclass(frozen=True, slots=True)
class Field:
    """The base of all fields.

    `name` is the attribute of the spec that the field sets; "name" is the name of the process.
    `check` makes the value from the input, or raises InputError. `error_name` is what an error
    calls the field; empty means by its label.
    """

    name: str
    label: str
    check: Callable[[Any, FormInput], Any] = unchecked
    _: KW_ONLY
    error_name: str = ""

    def input(self, values: Mapping[str, Any]) -> Any:
        """What the form shows for these values of a spec."""
        return values[self.name]

    def values(self, shown: Any, form: FormInput) -> dict[str, Any]:
        """The values that this input sets. Raises InputError."""
        return {self.name: self.check(shown, form)}


@dataclass(frozen=True, slots=True)
class TextField(Field):
    """A line of text, `width` cells wide; `empty` is the value that an empty one stands for."""

    _: KW_ONLY
    width: int
    empty: object = REQUIRED

    def input(self, values: Mapping[str, Any]) -> str:
        value = values[self.name]
        return "" if value == self.empty else str(value)

    def values(self, shown: str, form: FormInput) -> dict[str, Any]:
        if not shown and self.empty is not REQUIRED:
            return {self.name: self.empty}
        return {self.name: self.check(shown, form)}


@dataclass(frozen=True, slots=True)
class TickField(Field):
    """Yes or no."""


@dataclass(frozen=True, slots=True)
class ChoiceField(Field):
    """One of a few words."""

    _: KW_ONLY
    choices: tuple[str, ...]


class Row(NamedTuple):
    """Fields beside each other, after a heading or none."""

    heading: str
    fields: tuple[Field, ...]


class Mistake(NamedTuple):
    """The name of a field, and the sentence that says what is wrong with its input."""

    field: str
    text: str


@dataclass(frozen=True, slots=True)
class Reading(Generic[Spec]):
    """What the inputs ask for: a process and its spec, to be used only if there is no mistake."""

    name: str
    spec: Spec
    mistakes: tuple[Mistake, ...]


@dataclass(frozen=True, slots=True)
class Table(Generic[Spec]):
    """The fields of a form that makes a spec."""

    rows: tuple[Row, ...]

    @property
    def fields(self) -> tuple[Field, ...]:
        """All fields, in the order of their rows."""
        return tuple(field for row in self.rows for field in row.fields)

    def inputs(self, name: str, spec: Spec) -> dict[str, Input]:
        """The form filled in so that it asks for this process and this spec."""
        values = {"name": name, **asdict(spec)}
        return {field.name: field.input(values) for field in self.fields}

    def read(
        self,
        spec: Spec,
        inputs: Mapping[str, Input],
        limits: Limits,
        say: Translation = ENGLISH,
    ) -> Reading[Spec]:
        """Check every input. What has no field, or a mistake, stays as `spec` has it."""
        form = FormInput(inputs, limits)
        values: dict[str, Any] = {"name": ""}
        mistakes = []
        for field in self.fields:
            try:
                values |= field.values(inputs[field.name], form)
            except InputError as error:
                label = say(field.error_name or field.label)
                text = say("{field}: {error}", field=label, error=say.answer(str(error)))
                mistakes.append(Mistake(field.name, text))
        name = values.pop("name")
        return Reading(name, replace(spec, **values), tuple(mistakes))
