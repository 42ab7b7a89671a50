"""The form for a server of free play: every option it can be started with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

from sockwatch.lab.model import Closes
from sockwatch.model import Protocol
from sockwatch.tui.lab.checks import Surroundings, Wrong
from sockwatch.tui.lab.fields import ServerFields, read_server
from sockwatch.tui.lab.form import Field, Form
from sockwatch.tui.lab.form_parts import ChoiceField, TextField, TickField
from sockwatch.tui.lab.wishes import ServerWish
from sockwatch.tui.symbols import Symbols

PROTOCOLS = ("tcp", "udp")
CLOSING = ("server", "client", "nobody")


class ServerForm(Form[ServerWish]):
    """Starts from `fields`."""

    LABELS: ClassVar = {
        "v6only": "IPV6_V6ONLY",
        "leaks": "child keeps the listening fd",
        "group": "multicast group",
    }

    def __init__(
        self, symbols: Symbols, title: str, fields: ServerFields, around: Surroundings
    ) -> None:
        super().__init__(symbols, title, around)
        self._from = fields

    def rows(self) -> Sequence[tuple[str, Sequence[Field]]]:
        f = self._from
        return (
            ("server", (
                TextField("name", "name", f.name, 16),
                ChoiceField("protocol", "protocol", PROTOCOLS, f.protocol),
            )),
            ("bind", (
                TextField("address", "address", f.address, 26),
                TextField("port", "port", f.port, 8),
            )),
            ("flags", (
                TickField("reuseaddr", "SO_REUSEADDR", value=f.reuseaddr),
                TickField("reuseport", "SO_REUSEPORT", value=f.reuseport),
                TickField("v6only", "IPV6_V6ONLY", value=f.v6only),
            )),
            ("", (TickField("late", "reuse flags set after bind()", value=f.late),)),
            ("listen", (TextField("backlog", "backlog, none = bind only", f.backlog, 11),)),
            ("serve", (
                TickField("accepts", "accepts", value=f.accepts),
                ChoiceField("closes", "closes first:", CLOSING, f.closes),
            )),
            ("", (TickField("forks", "forks a child per connection", value=f.forks),)),
            ("", (TickField("leaks", "child runs a program, keeps the listening fd",
                            value=f.leaks),)),
            ("others", (TextField("group", "multicast group (udp)", f.group, 16),)),
            ("", (TextField("user", "user (root only)", f.user, 16),)),
        )  # fmt: skip

    def read(self) -> tuple[ServerWish, tuple[Wrong, ...]]:
        fields = ServerFields(
            name=self.text("name"),
            protocol=cast("Protocol", self.text("protocol")),
            address=self.text("address"),
            port=self.text("port"),
            reuseaddr=self.ticked("reuseaddr"),
            reuseport=self.ticked("reuseport"),
            v6only=self.ticked("v6only"),
            late=self.ticked("late"),
            backlog=self.text("backlog"),
            accepts=self.ticked("accepts"),
            closes=cast("Closes", self.text("closes")),
            forks=self.ticked("forks"),
            leaks=self.ticked("leaks"),
            group=self.text("group"),
            user=self.text("user"),
        )
        return read_server(fields, self.around)
