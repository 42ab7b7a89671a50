"""What people type for a port: ``8080``, ``[::]:3000``, ``http://localhost:3000/``, ``53/udp``.

Nothing is looked up: the names of services come from the caller, a host stays as it was typed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address, ip_address
from typing import Final, NamedTuple, TypeAlias

from sockwatch.model import PROTOCOLS, Port, Protocol
from sockwatch.view import port_facts

Services: TypeAlias = Mapping[tuple[str, Protocol], int]

NO_SERVICES: Final[Services] = {}
EXAMPLES: Final = "type 8080, [::1]:8080, localhost:http or 53/udp"
LOCALHOST: Final = "localhost"
LOOPBACK: Final = ("127.0.0.1", "::1")
WILDCARDS: Final = ("0.0.0.0", "::")  # noqa: S104 - addresses in question, nothing is bound
MAX_PORT: Final = 65535

_WEB: Final[Services] = {("http", "tcp"): 80, ("https", "tcp"): 443}  # not every host has services
_SCHEMES: Final = {"ws": "http", "wss": "https"}
_SEPARATORS: Final = re.compile(r"[,\s]+")
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(?:[^/?#]*@)?([^/?#]*)(?:[/?#].*)?")
_PROTOCOL_FIRST: Final = re.compile(r"(tcp|udp)[:/](.+)", re.IGNORECASE)
_PROTOCOL_LAST: Final = re.compile(r"(.+)/(tcp|udp)", re.IGNORECASE)
_WITH_PATH: Final = re.compile(r"(.*:[0-9]+)/.*")
_RANGE: Final = re.compile(r"([0-9]+)(?:-([0-9]*))?")
_HOST_NAME: Final = re.compile(r"[\w.-]+")
_SHOWN: Final = 60  # characters of what was typed, in a message


class NoPortError(ValueError):
    """A text that names no port; the message says why, and what to type."""


class WrongPortError(NoPortError):
    """A text that can only mean a port, but one that cannot be."""


class Asked(NamedTuple):
    """The ports `first` to `last`.

    `host` is an address without brackets or a name; it is empty where none was given, or ``*``.
    `protocol` is None where none was named.
    """

    first: int
    last: int
    protocol: Protocol | None = None
    host: str = ""

    def matches(self, port: Port) -> bool:
        """Whether the port is one of these, and has a socket where the host can be reached.

        A host name other than localhost leaves the address open.
        """
        addresses = (owner.address for owner in port_facts.owners(port))
        return self.meets(port.protocol, port.number, addresses)

    def meets(self, protocol: str, number: int, addresses: Iterable[str]) -> bool:
        """The same of a port with sockets on these addresses."""
        if not self.first <= number <= self.last:
            return False
        if self.protocol not in (None, protocol):
            return False
        hosts = LOOPBACK if self.host == LOCALHOST else (self.host.partition("%")[0],)
        if not is_address(hosts[0]) or hosts[0] in WILDCARDS:
            return True
        return any(address in WILDCARDS or address in hosts for address in addresses)


def parse_asked(
    text: str, services: Services = NO_SERVICES, protocol: Protocol | None = None
) -> tuple[Asked, ...]:
    """What each word of `text` asks for; commas and spaces are between words.

    `services` has the port of each service, by its name in lower case. `protocol` is the one that
    was asked for elsewhere; None leaves it to the words. Raises NoPortError.
    """
    words = [word for word in _SEPARATORS.split(text) if word]
    if not words:
        raise NoPortError(f"there is no port in {text[:_SHOWN]!r}; {EXAMPLES}")
    return tuple(_word(word, services, protocol) for word in words)


def is_service(word: str, services: Services) -> bool:
    """Whether the word is the name of a service."""
    return any(_service_port(word, protocol, services) is not None for protocol in PROTOCOLS)


def _word(word: str, services: Services, protocol: Protocol | None) -> Asked:
    named, rest, scheme = _without_protocol(word)
    if named and protocol and named != protocol:
        raise WrongPortError(f"{_quoted(word)} is not for {protocol}; type the port alone")
    if scheme and rest and _is_only_host(rest):
        host, port = rest, scheme
    else:
        host, port = _split(rest, word)
    host = "" if host == "*" else host.removeprefix("[").removesuffix("]")
    if host.lower() == LOCALHOST:
        host = LOCALHOST
    if host.isdigit():
        raise WrongPortError(
            f"{_quoted(host)} is a number, not a host; type 8080,9000 for two ports"
        )
    if host and not (is_address(host) or _HOST_NAME.fullmatch(host)):
        raise NoPortError(f"{_quoted(host)} is neither an address nor a host name; {EXAMPLES}")
    numbers = _RANGE.fullmatch(port)
    if numbers is None:
        number, known = _service(port, named or protocol, services, word)
        return Asked(number, number, known, host)
    first, last = _range(numbers)
    return Asked(first, last, named or protocol, host)


def _without_protocol(word: str) -> tuple[Protocol | None, str, str]:
    """(protocol, the endpoint, the service of a URL's scheme): the last is empty for no URL."""
    if url := _URL.fullmatch(word):
        scheme = url[1].lower()
        if (known := _protocol(scheme)) is not None:
            return known, url[2], ""
        return None, url[2], _SCHEMES.get(scheme, scheme)
    protocol = None
    if found := _PROTOCOL_FIRST.fullmatch(word):
        protocol, word = _protocol(found[1]), found[2]
    elif found := _PROTOCOL_LAST.fullmatch(word):
        protocol, word = _protocol(found[2]), found[1]
    word = word.partition("->")[0]  # docker ps: 0.0.0.0:8080->80/tcp
    if found := _WITH_PATH.fullmatch(word):  # localhost:3000/index.html
        word = found[1]
    number, _, other = word.partition("/")
    if other and number.isdigit():
        raise WrongPortError(f"{_quoted(other)} is not a protocol; type {number[:12]}/udp")
    return protocol, word.removesuffix("/"), ""


def _protocol(name: str) -> Protocol | None:
    return next((protocol for protocol in PROTOCOLS if name.lower() == protocol), None)


def _is_only_host(text: str) -> bool:
    return ":" not in text or text.endswith("]")


def _split(text: str, word: str) -> tuple[str, str]:
    """(host, port), each as it was typed."""
    if text.startswith(":::"):  # as Node.js writes it: address already in use :::3000
        return "::", text[3:]
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or len(rest) < 2 or rest[0] != ":":
            raise NoPortError(f"{_quoted(word)} has no port; {EXAMPLES}")
        return host, rest[1:]
    if text.lower() == LOCALHOST or (is_address(text) and ":" not in text):
        raise NoPortError(f"{_quoted(word)} has no port; type {text}:8080")
    host, _, port = text.rpartition(":")
    # ::1:8080 could be an address without a port: ask for the brackets.
    if ":" in host and (_is_ipv6(text) or not _is_ipv6(host)):
        raise NoPortError(f"{_quoted(word)} needs brackets around its IPv6 address; {EXAMPLES}")
    return host, port


def _range(numbers: re.Match[str]) -> tuple[int, int]:
    first = _number(numbers[1])
    if numbers[2] is None:
        return first, first
    if not numbers[2]:
        raise WrongPortError(f"{first}- has no end: type {first}-{MAX_PORT}")
    last = _number(numbers[2])
    if last < first:
        raise WrongPortError(f"the range {first}-{last} is empty: type {last}-{first}")
    return first, last


def _number(digits: str) -> int:
    # Python refuses to read a number of more than 4300 digits.
    if len(digits.lstrip("0")) > len(str(MAX_PORT)) or int(digits) > MAX_PORT:
        raise WrongPortError(f"port {digits[:12]} is too large: type 0 to {MAX_PORT}")
    return int(digits)


def _service(
    name: str, wanted: Protocol | None, services: Services, word: str
) -> tuple[int, Protocol | None]:
    """(port, protocol) of a service; one that has no entry for `wanted` has that of the other."""
    for protocol in sorted(PROTOCOLS, key=lambda protocol: protocol != (wanted or "tcp")):
        number = _service_port(name, protocol, services)
        if number is not None:
            return number, wanted or (None if protocol == "tcp" else protocol)
    raise NoPortError(f"{_quoted(name or word)} is neither a port nor a service; {EXAMPLES}")


def _service_port(name: str, protocol: Protocol, services: Services) -> int | None:
    key = (name.lower(), protocol)
    return services.get(key, _WEB.get(key))


def is_address(text: str) -> bool:
    """Whether it is an IPv4 or IPv6 address, without brackets."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _quoted(text: str) -> str:
    return repr(text[:_SHOWN])
