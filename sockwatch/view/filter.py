"""What a filter can ask of a port."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from sockwatch.model import STATES
from sockwatch.view import holders, names, port_facts
from sockwatch.view.asked import NO_SERVICES, Asked, Services, is_address
from sockwatch.view.commands import short_command
from sockwatch.view.filter_language import Filter, FilterLanguage, TermHelp, WrongTermError, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sockwatch.model import Origin, Port, Process, Socket

Test: TypeAlias = "Callable[[Port], bool]"

PEER, CLIENT, NETNS, CONTAINER = "peer", "client", "netns", "container"
V4_MAPPED = "::ffff:"

_STATE_ALIASES = {
    "est": ("ESTABLISHED",),
    "estab": ("ESTABLISHED",),
    "tw": ("TIME_WAIT",),
    "timewait": ("TIME_WAIT",),
    "listening": ("LISTEN",),
}
_HALF_OPEN, _ORPHAN = "HALF_OPEN", "ORPHAN"
_STATE_NAMES = (*STATES, _HALF_OPEN, _ORPHAN)


def _texts(port: Port) -> Iterator[str]:
    yield f"{port.number}/{port.protocol}"
    yield from port.states
    for address in port_facts.addresses(port):
        yield f"{address}:{port.number}"
    if port.netns is not None:
        yield port.netns.short_name
    if not port.holders:
        return
    for process in _processes(port):
        yield process.name
        yield process.command
        yield process.user
        if process.origin is not None:
            yield names.origin_text(process.origin)


def _processes(port: Port) -> Iterator[Process]:
    for holder in holders.distinct(port.holders).values():
        if holder.process is not None:
            yield holder.process


def _state(value: str) -> Test:
    wanted = value.upper().replace("-", "_")
    states = _STATE_ALIASES.get(value) or tuple(s for s in _STATE_NAMES if s.startswith(wanted))
    if not states:
        raise WrongTermError(
            f"{value} is not a state: type listen, unconn, bound, established, time_wait, "
            "close_wait, fin_wait1, fin_wait2, syn_sent, syn_recv, last_ack, closing, half_open "
            "or orphan"
        )
    return lambda port: any(_state_count(port, state) for state in states)


def _state_count(port: Port, state: str) -> int | None:
    if state == _HALF_OPEN:
        return port.half_open
    return port.orphans if state == _ORPHAN else port.states.get(state, 0)


def _process(value: str) -> Test:
    def test(port: Port) -> bool:
        if value.isdigit() and any(str(holder.pid) == value for holder in port.holders):
            return True
        return any(
            value in process.name.casefold() or value in short_command(process).casefold()
            for process in _processes(port)
        )

    return test


def _user(value: str) -> Test:
    def test(port: Port) -> bool:
        if any(value in process.user.casefold() for process in _processes(port)):
            return True
        uids = {owner.uid for owner in (*port.listeners, *port.bound)}
        uids.update(group.uid for group in port.groups)
        return value.isdigit() and any(str(uid) == value for uid in uids)

    return test


def _peer(value: str) -> Test:
    address, port = _destination(value)
    if not (is_address(address) or (port and not address)) or not (port.isdigit() or not port):
        raise WrongTermError(f"{value} is not a destination: type peer:10.0.0.5:5432")

    def leads_there(sock: Socket) -> bool:
        peer = sock.peer_address
        return (
            peer is not None
            and address in ("", peer, peer.removeprefix(V4_MAPPED))
            and port in ("", str(sock.peer_port))
        )

    return lambda port: any(map(leads_there, port.connections or ()))


def _destination(value: str) -> tuple[str, str]:
    """(address, port) of ``10.0.0.5:5432``, ``[::1]:443``, ``10.0.0.5`` or ``5432``."""
    if value.isdigit():
        return "", value
    if is_address(value.strip("[]")):
        return value.strip("[]"), ""
    address, _, port = value.rpartition(":")
    return address.removeprefix("[").removesuffix("]"), port


def _netns(value: str) -> Test:
    def test(port: Port) -> bool:
        netns = port.netns
        if netns is None:
            return False
        if value == str(netns.pid if netns.inode is None else netns.inode):
            return True
        origins = netns.origin.chain if netns.origin else ()
        texts = (netns.name or "", *(origin.short_name for origin in origins))
        return any(value in text.casefold() for text in texts)

    return test


def _container(value: str) -> Test:
    def is_meant(origin: Origin) -> bool:
        return origin.is_container and (
            value in (origin.name or "").casefold() or origin.id.casefold().startswith(value)
        )

    return lambda port: any(map(is_meant, _origins(port)))


def _unit(value: str) -> Test:
    def is_meant(origin: Origin) -> bool:
        return value in (origin.unit or "").casefold()

    return lambda port: any(map(is_meant, _origins(port)))


def _origins(port: Port) -> Iterator[Origin]:
    """What the holders and the network namespace belong to, and what that is in."""
    for process in _processes(port):
        if process.origin is not None:
            yield from process.origin.chain
    if port.netns is not None and port.netns.origin is not None:
        yield from port.netns.origin.chain


def _proto(value: str) -> Test:
    if value not in ("tcp", "udp"):
        raise WrongTermError(f"{value} is not a protocol: type proto:tcp or proto:udp")
    return lambda port: port.protocol == value


_FLAG_TESTS: dict[str, Test] = {
    "reuseaddr": lambda port: any(flags.reuseaddr for flags in port_facts.flags(port)),
    "reuseport": lambda port: any(flags.reuseport for flags in port_facts.flags(port)),
    "none": lambda port: any(
        flags.reuseaddr is False and flags.reuseport is False for flags in port_facts.flags(port)
    ),
    "unknown": lambda port: any(
        flags.reuseaddr is None or flags.reuseport is None for flags in port_facts.flags(port)
    ),
}


def _flag(value: str) -> Test:
    if value not in _FLAG_TESTS:
        raise WrongTermError(f"{value} is not a flag: type flag:{listed(list(_FLAG_TESTS))}")
    return _FLAG_TESTS[value]


TERMS: dict[str, TermHelp[Port]] = {
    "port": TermHelp(None, "port number, range or list", "port:8080, port:8000-8100, port:80,443"),
    "state": TermHelp(_state, "a socket in this state", "state:listen, state:tw, state:bound"),
    "process": TermHelp(_process, "part of a holder's name or script, or a pid", "process:nginx"),
    "user": TermHelp(_user, "part of a holder's user name, or a uid", "user:www"),
    NETNS: TermHelp(
        _netns,
        "part of the name of a network namespace or of what it belongs to, or its number",
        "netns:blue, netns:web2, netns:4026532290",
    ),
    CONTAINER: TermHelp(
        _container, "part of the name of a container, or the start of its id", "container:web2"
    ),
    "unit": TermHelp(_unit, "part of the name of a systemd unit", "unit:nginx"),
    "proto": TermHelp(_proto, "protocol", "proto:tcp, proto:udp"),
    "flag": TermHelp(
        _flag, "a socket with this reuse flag", "flag:reuseaddr, flag:reuseport, flag:none"
    ),
    PEER: TermHelp(
        _peer,
        "connections that lead there, of client ports or of the one port that is looked at",
        "peer:10.0.0.5:5432, peer:10.0.0.5, peer:5432",
    ),
    CLIENT: TermHelp(
        None, "client ports alone", "client:, client: peer:5432, -client:", is_switch=True
    ),
}
PORT_LANGUAGE: FilterLanguage[Port] = FilterLanguage(
    TERMS,
    _texts,
    Asked.matches,
    "part of a name, command, address, port, state, user, unit or namespace",
)


def parse_filter(
    text: str, services: Services = NO_SERVICES, *, exact: bool = False
) -> Filter[Port]:
    """Read `text` as FilterLanguage.parse() does."""
    return PORT_LANGUAGE.parse(text, services, exact=exact)


def lists_each(wanted: Filter[Port]) -> bool:
    """Whether client ports have a row each: unless a term is about what only folding tells."""
    about_folded = PEER in wanted.keys or wanted.switches.get(CLIENT, False)
    return wanted.is_set and not (about_folded and wanted.number is None)


def asks_all_netns(wanted: Filter[Port]) -> bool:
    """Whether it asks for ports of other network namespaces."""
    return NETNS in wanted.keys
