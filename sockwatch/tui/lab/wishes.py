"""What the forms of free play ask for."""

from __future__ import annotations

from dataclasses import dataclass

from sockwatch.lab.model import ClientSpec, ServerSpec


@dataclass(frozen=True, slots=True)
class ServerWish:
    """A server of this name; where one runs already, it opens another socket."""

    name: str
    spec: ServerSpec


@dataclass(frozen=True, slots=True)
class ClientWish:
    """A client of this name."""

    name: str
    spec: ClientSpec
