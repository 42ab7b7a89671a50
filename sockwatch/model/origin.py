"""What a process or a network namespace belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, TypeAlias

OriginKind: TypeAlias = Literal[
    "docker", "podman", "containerd", "cri-o", "lxc", "nspawn", "machine", "container", "pod",
    "snap", "flatpak", "unit", "session",
]  # fmt: skip
CONTAINER_KINDS: Final[frozenset[OriginKind]] = frozenset(
    {"docker", "podman", "containerd", "cri-o", "lxc", "nspawn", "container"}
)
UNIT_KINDS: Final[frozenset[OriginKind]] = frozenset({"unit", "session", "snap", "flatpak"})
SHORT_ID: Final = 12  # digits, as docker-ps(1) and podman-ps(1) show them


class Origin(NamedTuple):
    """What it belongs to, innermost first. Text is printable: it has passed ``text.clean()``.

    A container whose runtime its cgroup does not tell is of the kind ``container``, a virtual
    machine ``machine``. `id` is the runtime's own, in full; a snap, a flatpak and a session have
    their systemd unit there; empty where the name is all there is.
    `name` is None if nothing that may be read tells it. `known_by` is what told the name, else the
    id: ``cgroup``, a file's path, or ``command line``. `manager_uid` is the user whose systemd runs
    a unit, or whose runtime runs a container; None for the system's. `outer` is what it runs in.
    """

    kind: OriginKind
    id: str
    name: str | None
    known_by: str
    manager_uid: int | None = None
    outer: Origin | None = None

    @property
    def is_container(self) -> bool:
        """Whether it is a container, whatever runs it."""
        return self.kind in CONTAINER_KINDS

    @property
    def container(self) -> Origin | None:
        """The innermost container: itself, or one that it is in."""
        return next((origin for origin in self.chain if origin.is_container), None)

    @property
    def pod(self) -> Origin | None:
        """The pod that it is, or is in."""
        return next((origin for origin in self.chain if origin.kind == "pod"), None)

    @property
    def unit(self) -> str | None:
        """The systemd unit that it is; None of a container, a pod or a machine."""
        return (self.id or self.name) if self.kind in UNIT_KINDS else None

    @property
    def chain(self) -> Iterator[Origin]:
        """Itself, what it is in, and so on outwards."""
        origin: Origin | None = self
        while origin is not None:
            yield origin
            origin = origin.outer

    @property
    def short_name(self) -> str:
        """The name, else as much of the id as runtimes show."""
        return self.name or self.id[:SHORT_ID]

    @property
    def label(self) -> str:
        """As it is said in a sentence: ``container web2``, ``pod shop/cart-0``, ``nginx.service``.

        A unit's name says what it is.
        """
        if self.kind == "unit":
            return self.short_name
        return f"{'container' if self.is_container else self.kind} {self.short_name}"
