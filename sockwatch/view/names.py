"""How addresses, flags and queues are written, everywhere the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, TypeAlias

from sockwatch.units import UNKNOWN, endpoint, process_name, short_count

if TYPE_CHECKING:
    from sockwatch.model import Gap, Holder, Origin, ReuseFlags, Socket


QueueWriter: TypeAlias = Callable[[int | None, int | None], str]


class Addressed(Protocol):
    """A socket or a group of sockets: both have a local address."""

    @property
    def family(self) -> str:
        """``ipv4`` or ``ipv6``."""

    @property
    def address(self) -> str:
        """Without brackets or zone."""

    @property
    def device(self) -> str | None:
        """The device it is bound to; None if none."""

    @property
    def v6only(self) -> bool | None:
        """IPV6_V6ONLY; None if unknown."""


def local_address(owner: Addressed) -> str:
    """``10.0.0.1``, ``[::1]``, ``[::]`` for IPv6 alone, ``*`` for IPv6 and IPv4, ``...%eth0``.

    ``[::]?`` is an IPv6 wildcard; whether it takes IPv4 too could not be read.
    """
    return _written(owner.family, owner.address, owner.device, owner.v6only)


@lru_cache(maxsize=4096)
def _written(family: str, address: str, device: str | None, v6only: bool | None) -> str:
    if family == "ipv6":
        if address != "::":
            address = f"[{address}]"
        elif v6only is None:
            address = "[::]?"
        else:
            address = "[::]" if v6only else "*"
    return f"{address}%{device}" if device else address


def local_endpoint(socket: Socket) -> str:
    """``10.0.0.1:8080``."""
    return f"{local_address(socket)}:{socket.port}"


def peer_endpoint(socket: Socket) -> str:
    """``10.0.0.2:51000``, or ``-`` if the socket has no peer."""
    if socket.peer_address is None:
        return "-"
    return endpoint(socket.peer_address, socket.peer_port)


def flag_letters(flags: ReuseFlags) -> str:
    """Two characters, SO_REUSEADDR and SO_REUSEPORT: ``A`` ``P`` set, ``-`` not, ``?`` unknown."""
    return _letter(flags.reuseaddr, "A") + _letter(flags.reuseport, "P")


def _letter(value: bool | None, letter: str) -> str:
    return UNKNOWN if value is None else letter if value else "-"


def flag_words(flags: ReuseFlags) -> str:
    """The same in words: ``reuseaddr yes, reuseport unknown (from bpf)``."""
    words = ", ".join(
        f"{name} {'unknown' if value is None else 'yes' if value else 'no'}"
        for name, value in (("reuseaddr", flags.reuseaddr), ("reuseport", flags.reuseport))
    )
    return f"{words} (from {flags.source})" if flags.source else words


def queue_text(now: int | None, limit: int | None) -> str:
    """An accept queue, ``0/4096``; unknown numbers are ``?``."""
    return f"{UNKNOWN if now is None else now}/{UNKNOWN if limit is None else limit}"


def short_queue_text(now: int | None, limit: int | None) -> str:
    """The same for a narrow column: ``4.0k/4k``."""
    left = UNKNOWN if now is None else short_count(now)
    right = UNKNOWN if limit is None else short_count(limit).replace(".0", "")
    return f"{left}/{right}"


def uid_name(uid: int | None) -> str:
    """``uid 33``; ``?`` for None."""
    return UNKNOWN if uid is None else f"uid {uid}"


def user_of(uid: int) -> str:
    """``root``, which has this name everywhere, else ``uid 33``."""
    return uid_name(uid) if uid else "root"


def holders_more(count: int) -> str:
    """How many holders follow the first: `` +3``; empty for 0."""
    return f" +{count}" if count else ""


def holder_name(holder: Holder) -> str:
    """``nginx(812)``; ``?(812)`` if the process cannot be identified."""
    return process_name(holder.process.name if holder.process else None, holder.pid)


def origin_text(origin: Origin) -> str:
    """``nginx.service in container web2 (docker)``, ``pod shop/cart-0, container cart (cri-o)``."""
    text = origin.label
    if origin.is_container:
        runner = None if origin.kind == "container" else origin.kind
        owner = _of_user(origin)
        if runner or owner:
            text += f" ({' '.join(filter(None, (runner, owner)))})"
    elif origin.manager_uid is not None and (origin.outer is None or not origin.outer.container):
        text += f" {_of_user(origin)}"
    outer = origin.outer
    if outer is None:
        return text
    if outer.kind == "pod":
        return f"{origin_text(outer)}, {text}"
    return f"{text} in {origin_text(outer)}"


def _of_user(origin: Origin) -> str | None:
    return None if origin.manager_uid is None else f"of {uid_name(origin.manager_uid)}"


def short_origin(origin: Origin) -> str:
    """The same for a column: ``nginx.service in web2``, ``shop/cart-0 cart``, ``web2``."""
    if origin.outer is None:
        return origin.unit or origin.short_name
    if origin.outer.kind == "pod":
        return f"{short_origin(origin.outer)} {origin.short_name}"
    return f"{origin.short_name} in {short_origin(origin.outer)}"


def gap_text(gap: Gap) -> str:
    """What was not seen, and in parentheses what would show it, if anything would."""
    return f"{gap.text} ({gap.remedy})" if gap.remedy else gap.text
