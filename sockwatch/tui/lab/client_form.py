"""The form for clients of free play: how many, who closes first, and from where."""

from __future__ import annotations

from typing import Final

from sockwatch.lab.model import ClientSpec
from sockwatch.tui.lab import checks
from sockwatch.tui.lab.fields import ChoiceField, Row, Table, TextField, TickField
from sockwatch.tui.lab.server_form import CLOSERS

PATIENCE_S: Final = 2.0  # connect() and read() of free play wait no longer than this

CLIENT_FORM: Final[Table[ClientSpec]] = Table((
    Row("client", (
        TextField("name", "name", checks.name, width=16),
        TextField("count", "connections", checks.connections, width=5),
    )),
    Row("to", (
        TextField("to", "address", checks.address, width=26, error_name="to address"),
        TextField("to_port", "port", checks.destination_port, width=8, error_name="to port"),
    )),
    Row("", (ChoiceField("closes", "closes first:", choices=CLOSERS),)),
    Row("from", (
        TextField("address", "address, empty = any", checks.source_address, width=22, empty=None,
                  error_name="from address"),
        TextField("port", "port", checks.port, width=8, empty=0, error_name="from port"),
    )),
    Row("flags", (
        TickField("reuseaddr", "SO_REUSEADDR"),
        TickField("reuseport", "SO_REUSEPORT"),
    )),
))  # fmt: skip
