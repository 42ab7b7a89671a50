"""The form for a server of free play: every option that it can be started with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sockwatch.lab.model import ServerSpec
from sockwatch.tui.lab import checks
from sockwatch.tui.lab.checks import FormInput
from sockwatch.tui.lab.fields import ChoiceField, Row, Table, TextField, TickField

PROTOCOLS: Final = ("tcp", "udp")
CLOSERS: Final = ("server", "client", "nobody")


@dataclass(frozen=True, slots=True)
class LeakField(TickField):
    """Sets `execs` and clears `cloexec`, since a listening fd leaks through both."""

    def input(self, values: Mapping[str, Any]) -> bool:
        return values["execs"] and not values["cloexec"]

    def values(self, shown: Any, form: FormInput) -> dict[str, Any]:
        leaks = checks.leaks(shown, form)
        return {"execs": leaks, "cloexec": not leaks}


SERVER_FORM: Final[Table[ServerSpec]] = Table((
    Row("server", (
        TextField("name", "name", checks.name, width=16),
        ChoiceField("protocol", "protocol", choices=PROTOCOLS),
    )),
    Row("bind", (
        TextField("address", "address", checks.address, width=26),
        TextField("port", "port", checks.port, width=8),
    )),
    Row("flags", (
        TickField("reuseaddr", "SO_REUSEADDR"),
        TickField("reuseport", "SO_REUSEPORT"),
        TickField("v6only", "IPV6_V6ONLY", checks.v6only),
    )),
    Row("", (TickField("late", "set reuse flags after bind()"),)),
    Row("listen", (
        TextField("backlog", "backlog, empty = bind only", checks.backlog, width=11, empty=None,
                  error_name="backlog"),
    )),
    Row("serve", (
        TickField("accepts", "accepts"),
        ChoiceField("closes", "closes first:", choices=CLOSERS),
    )),
    Row("", (TickField("forks", "forks a child per connection"),)),
    Row("", (
        LeakField("leaks", "child execs a program, which keeps the listening fd",
                  error_name="child keeps the listening fd"),
    )),
    Row("other", (
        TextField("group", "multicast group (UDP)", checks.group, width=16, empty=None,
                  error_name="multicast group"),
    )),
    Row("", (
        TextField("uid", "user (root only)", checks.user, width=16, empty=None,
                  error_name="user"),
    )),
))  # fmt: skip
