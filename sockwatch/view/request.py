"""A request as one types it: ``127.0.0.1 reuseaddr uid=33 device=eth0``."""

from __future__ import annotations

from sockwatch.bind import BindRequest
from sockwatch.model import Protocol, SockwatchError

SWITCHES = ("reuseaddr", "reuseport", "v6only", "freebind")
OPTIONS = f"{' '.join(SWITCHES)} uid=N device=NAME"
HELP = f"an address, then any of {OPTIONS}"


def request_text(request: BindRequest) -> str:
    """The request as text that parse_request() reads."""
    words = [request.address]
    words += [name for name in SWITCHES if getattr(request, name)]
    if request.uid is not None:
        words.append(f"uid={request.uid}")
    if request.device is not None:
        words.append(f"device={request.device}")
    return " ".join(words)


def parse_request(text: str, protocol: Protocol, port: int) -> BindRequest:
    """The request that `text` describes. Raises SockwatchError with what is wrong with it."""
    words = text.split()
    if not words:
        raise SockwatchError(f"type {HELP}")
    address, switches, uid, device = words[0].strip("[]"), set(), None, None
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if word in SWITCHES:
            switches.add(word)
        elif key == "uid" and value.isascii() and value.isdigit():
            uid = int(value)
        elif key == "device" and equals and value:
            device = value
        else:
            raise SockwatchError(f"{word!r} is not one of {OPTIONS}")
    return BindRequest(
        protocol,
        {"*": "0.0.0.0"}.get(address, address),  # noqa: S104 - a name for it
        port,
        reuseaddr="reuseaddr" in switches,
        reuseport="reuseport" in switches,
        v6only="v6only" in switches,
        freebind="freebind" in switches,
        uid=uid,
        device=device,
    )
