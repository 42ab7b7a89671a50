"""The values of the lab: what a server or client does, and a system call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from sockwatch.model import Protocol, SockwatchError

DAYTIME_PORT: Final = 10013
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - all addresses of the sandbox, which is cut off
LOOPBACK: Final = "127.0.0.1"
HOST_PORTS: Final = range(10_000, 32_768)  # below what outgoing connections usually get
LONGEST_NAME: Final = 15  # TASK_COMM_LEN of include/linux/sched.h, less its NUL

Network = Literal["own", "host"]
Closes = Literal["server", "client", "nobody"]


class LabError(SockwatchError):
    """The sandbox could not be set up, or something in it did not answer."""


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """What a test server does. The default is a forking daytime server (RFC 867).

    `late` sets the reuse flags after bind(). A `backlog` of None means that it does not listen.
    Unless it `accepts`, connections stay in the queue. `closes` says who closes a connection first.
    If it `forks`, a child handles each connection, and then, if it `execs`, runs another program,
    which inherits the listening fd unless `cloexec` is set. With `workers`, it accepts nothing: so
    many children do, which it forks once it listens. `group` is a multicast group to join (UDP).
    A `uid` of None means the user of the sandbox.
    """

    protocol: Protocol = "tcp"
    address: str = EVERYWHERE
    port: int = DAYTIME_PORT
    reuseaddr: bool = False
    reuseport: bool = False
    v6only: bool = False
    late: bool = False
    backlog: int | None = 5
    accepts: bool = True
    closes: Closes = "server"
    forks: bool = True
    execs: bool = False
    cloexec: bool = True
    workers: int = 0
    group: str | None = None
    uid: int | None = None


@dataclass(frozen=True, slots=True)
class ClientSpec:
    """`count` connections to `to`:`to_port`, from `address` and `port`, or any if None and 0.

    Each reads the line of the server; `closes` says who closes it first. A connect() that takes
    longer than `patience_s` seconds counts as waiting.
    """

    to: str = "127.0.0.1"
    to_port: int = DAYTIME_PORT
    count: int = 1
    closes: Closes = "server"
    address: str | None = None
    port: int = 0
    reuseaddr: bool = False
    reuseport: bool = False
    patience_s: float = 5.0

    @property
    def binds(self) -> bool:
        """Whether the client calls bind() before connect()."""
        return self.address is not None or self.port != 0


class SystemCall(NamedTuple):
    """A system call of a process in the sandbox, with the kernel's answer.

    `who` is the name of the process, or ``you`` for what sockwatch does at the user's request.
    """

    who: str
    text: str  # ``bind(3, 127.0.0.1:10013) = -1 EADDRINUSE``
