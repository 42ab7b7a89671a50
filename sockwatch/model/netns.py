"""A network namespace."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from sockwatch.model.origin import Origin

NetnsKey: TypeAlias = tuple[int | None, int | None]  # (inode, id); -pid without an inode
HOST_NAME: Final = "host"  # of the kernel's first one, which ip-netns(8) has no name for


class Netns(NamedTuple):
    """A network namespace.

    `inode` is its number, as in /proc/PID/ns/net, which the kernel gives to another one later; None
    if it may not be read. `id` is never given again, but kernels before 6.18 have none. `name` is
    ``host`` for the kernel's first, or the one given by ip-netns(8); None if it has none that says
    something. `origin` is what it belongs to, None if unknown. `pid` is the oldest process that was
    seen in it, as our pid namespace numbers it; None if there is none.
    """

    inode: int | None
    name: str | None
    id: int | None = None
    origin: Origin | None = None
    pid: int | None = None

    @property
    def key(self) -> NetnsKey:
        """Tells it from every other one, as far as the kernel does: numbers are given again.

        One whose number may not be read is known by its process.
        """
        if self.inode is None:
            return (None if self.pid is None else -self.pid, self.id)
        return (self.inode, self.id)

    @property
    def short_name(self) -> str:
        """As a column shows it: ``host``, ``blue``, ``web2``, ``4026532290``, ``pid 812``."""
        if self.name is not None:
            return self.name
        if self.origin is not None:
            return self.origin.short_name
        return f"pid {self.pid}" if self.inode is None else str(self.inode)

    @property
    def label(self) -> str:
        """As it is said in a sentence: ``the host``, ``netns blue``, ``container web2``."""
        if self.name == HOST_NAME:
            return "the host"
        if self.name is None and self.origin is not None:
            return self.origin.label
        is_anonymous = self.name is None and self.inode is None
        return f"netns {'of ' if is_anonymous else ''}{self.short_name}"
