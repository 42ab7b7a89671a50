"""What stands in the forms as text, and reading it strictly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeVar

from sockwatch.lab.model import ClientSpec, Closes, ServerSpec
from sockwatch.model import Protocol
from sockwatch.tui.lab import checks
from sockwatch.tui.lab.checks import Surroundings, Wrong, WrongError
from sockwatch.tui.lab.wishes import ClientWish, ServerWish

Value = TypeVar("Value")

MOST_CLIENTS: Final = 1000
PATIENCE_S: Final = 2.0  # connect() and read() of free play do not wait longer for an answer
NO_BACKLOG: Final = ("", "none")


@dataclass(frozen=True, slots=True)
class ServerFields:
    """`leaks`: each child runs another program and keeps the listening fd."""

    name: str
    protocol: Protocol = "tcp"
    address: str = "0.0.0.0"  # noqa: S104 - all addresses of the stage
    port: str = "10013"
    reuseaddr: bool = False
    reuseport: bool = False
    v6only: bool = False
    late: bool = False
    backlog: str = "5"
    accepts: bool = True
    closes: Closes = "server"
    forks: bool = True
    leaks: bool = False
    group: str = ""
    user: str = ""

    @classmethod
    def of(cls, name: str, spec: ServerSpec) -> ServerFields:
        """The form filled in so that it asks for this server."""
        return cls(
            name, spec.protocol, spec.address, str(spec.port), spec.reuseaddr, spec.reuseport,
            spec.v6only, spec.late, "none" if spec.backlog is None else str(spec.backlog),
            spec.accepts, spec.closes, spec.forks, spec.execs and not spec.cloexec,
            spec.group or "", "" if spec.uid is None else str(spec.uid),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ClientFields:
    """`address` and `port` are the client's own; empty is any."""

    name: str
    to: str = "127.0.0.1"
    to_port: str = "10013"
    count: str = "1"
    closes: Closes = "server"
    address: str = ""
    port: str = ""
    reuseaddr: bool = False
    reuseport: bool = False


class _Reader:
    """Reads one field after the other and keeps what is wrong."""

    def __init__(self) -> None:
        self.wrong: list[Wrong] = []

    def read(self, field: str, check: Callable[[], Value], instead: Value) -> Value:
        try:
            return check()
        except WrongError as error:
            self.wrong.append(Wrong(field, str(error)))
            return instead

    def require(self, field: str, text: str, *, holds: bool) -> None:
        if not holds:
            self.wrong.append(Wrong(field, text))


def read_server(fields: ServerFields, around: Surroundings) -> tuple[ServerWish, tuple[Wrong, ...]]:
    """The wish is to be granted only if nothing is wrong."""
    reader = _Reader()
    name = reader.read("name", partial(checks.name, fields.name, around), "")
    address = reader.read("address", partial(checks.address, fields.address, around.place), "::")
    port = reader.read("port", partial(checks.port, fields.port, around.place), 0)
    backlog, group, uid = None, None, None
    if fields.backlog not in NO_BACKLOG and fields.protocol == "tcp":
        backlog = reader.read("backlog", partial(_backlog, fields.backlog), None)
    if fields.group:
        group = reader.read("group", partial(checks.group, fields.group, fields.protocol), None)
    if fields.user:
        uid = reader.read(
            "user", partial(checks.user, fields.user, many_uids=around.many_uids), None
        )
        reader.require(
            "user", f"{name} runs already: clear the user, or type a new name",
            holds=name not in around.running,
        )  # fmt: skip
    reader.require(
        "v6only", "is for an IPv6 address: type one, :: for example, or take it off",
        holds=not fields.v6only or ":" in address,
    )  # fmt: skip
    reader.require(
        "leaks", "needs a child: tick fork per connection, or take it off",
        holds=not fields.leaks or fields.forks,
    )  # fmt: skip
    spec = ServerSpec(
        protocol=fields.protocol, address=address, port=port, reuseaddr=fields.reuseaddr,
        reuseport=fields.reuseport, v6only=fields.v6only, late=fields.late, backlog=backlog,
        accepts=fields.accepts, closes=fields.closes, forks=fields.forks, execs=fields.leaks,
        cloexec=not fields.leaks, group=group, uid=uid,
    )  # fmt: skip
    return ServerWish(name, spec), tuple(reader.wrong)


def _backlog(text: str) -> int | None:
    try:
        return checks.number(text, 0, checks.LARGEST_BACKLOG, "backlog")
    except WrongError:
        raise WrongError(
            f"{text!r} is no backlog: type a number, or none for bind() without listen()"
        ) from None


def read_client(fields: ClientFields, around: Surroundings) -> tuple[ClientWish, tuple[Wrong, ...]]:
    """The wish is to be granted only if nothing is wrong."""
    reader = _Reader()
    name = reader.read("name", partial(checks.name, fields.name, around), "")
    to = reader.read("to", partial(checks.address, fields.to, around.place), "::")
    to_port = reader.read(
        "to_port", partial(checks.port, fields.to_port, around.place, lowest=1), 1
    )
    count = reader.read("count", partial(checks.number, fields.count, 1, MOST_CLIENTS, "count"), 1)
    spec = ClientSpec(
        to=to, to_port=to_port, count=count, closes=fields.closes, reuseaddr=fields.reuseaddr,
        reuseport=fields.reuseport, patience_s=PATIENCE_S,
    )  # fmt: skip
    if fields.port:
        port = reader.read("port", partial(checks.port, fields.port, around.place), 0)
        spec = replace(spec, port=port)
    if fields.address:
        own = reader.read("address", partial(checks.address, fields.address, around.place), "::")
        reader.require(
            "address", f"has to be of one kind with {to}: both IPv4 or both IPv6",
            holds="to" in {one.field for one in reader.wrong} or (":" in own) == (":" in to)
            or "address" in {one.field for one in reader.wrong},
        )  # fmt: skip
        spec = replace(spec, address=own)
    return ClientWish(name, spec), tuple(reader.wrong)
