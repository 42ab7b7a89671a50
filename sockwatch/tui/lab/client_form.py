"""The form for clients of free play: how many, who closes first, and from where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

from sockwatch.lab.model import Closes
from sockwatch.tui.lab.checks import Surroundings, Wrong
from sockwatch.tui.lab.fields import ClientFields, read_client
from sockwatch.tui.lab.form import Field, Form
from sockwatch.tui.lab.form_parts import ChoiceField, TextField, TickField
from sockwatch.tui.lab.server_form import CLOSING
from sockwatch.tui.lab.wishes import ClientWish
from sockwatch.tui.symbols import Symbols


class ClientForm(Form[ClientWish]):
    """Starts from `fields`."""

    LABELS: ClassVar = {
        "to": "to address",
        "to_port": "to port",
        "address": "from address",
        "port": "from port",
    }

    def __init__(
        self, symbols: Symbols, title: str, fields: ClientFields, around: Surroundings
    ) -> None:
        super().__init__(symbols, title, around)
        self._from = fields

    def rows(self) -> Sequence[tuple[str, Sequence[Field]]]:
        f = self._from
        return (
            ("client", (
                TextField("name", "name", f.name, 16),
                TextField("count", "connections", f.count, 5),
            )),
            ("to", (
                TextField("to", "address", f.to, 26),
                TextField("to_port", "port", f.to_port, 8),
            )),
            ("", (ChoiceField("closes", "closes first:", CLOSING, f.closes),)),
            ("from", (
                TextField("address", "address, empty = any", f.address, 22),
                TextField("port", "port", f.port, 8),
            )),
            ("flags", (
                TickField("reuseaddr", "SO_REUSEADDR", value=f.reuseaddr),
                TickField("reuseport", "SO_REUSEPORT", value=f.reuseport),
            )),
        )  # fmt: skip

    def read(self) -> tuple[ClientWish, tuple[Wrong, ...]]:
        fields = ClientFields(
            name=self.text("name"),
            to=self.text("to"),
            to_port=self.text("to_port"),
            count=self.text("count"),
            closes=cast("Closes", self.text("closes")),
            address=self.text("address"),
            port=self.text("port"),
            reuseaddr=self.ticked("reuseaddr"),
            reuseport=self.ticked("reuseport"),
        )
        return read_client(fields, self.around)
