"""What the iterators have counted, as groups of the model."""

from __future__ import annotations

import socket
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias

from sockwatch.kernel.bpf.flags import OPTIONS_OF_BYTE
from sockwatch.kernel.bpf.rows import HALF_OPEN, MINI, WITH_FD, HolderCount, Key, SocketCount
from sockwatch.kernel.sock_diag.client_groups import client_group
from sockwatch.kernel.sock_diag.inet_diag import address_text
from sockwatch.kernel.sock_diag.packed_sockets import MiniKey
from sockwatch.kernel.sock_diag.socket_row import connection_v6only, state_name
from sockwatch.model import ClientGroup, Holder, SocketGroup, SocketOptions

NO_PEER: Final = bytes(16)

# Those of all connections with a key.
Holders: TypeAlias = Mapping[Key, tuple[Holder, ...]]
DeviceName: TypeAlias = Callable[[int], str | None]


class CountedOwners(NamedTuple):
    """`groups` and `half_open` are by port."""

    groups: dict[int, list[SocketGroup]]
    clients: list[ClientGroup]
    half_open: Counter[int]


def held_by(
    counts: Iterable[HolderCount],
    sockets: Iterable[SocketCount],
    identify: Callable[[Holder], Holder | None],
) -> Holders:
    """One fd of each holder of the counted sockets, by their key.

    Those that `identify` returns None for have exited.
    """
    keys = {count.key for count in sockets}
    found: dict[Key, dict[int, Holder]] = defaultdict(dict)
    for count in counts:
        holder = identify(Holder(count.pid, count.fd, None))
        if holder is not None:
            key = count.key if count.key in keys else _without_peer(count.key)
            found[key].setdefault(count.pid, holder)
    return {key: tuple(holders.values()) for key, holders in found.items()}


def _without_peer(key: Key) -> Key:
    return (key[0], NO_PEER, *key[2:5], 0, *key[6:])


def counted_owners(
    counts: Iterable[SocketCount], holders: Holders, device_name: DeviceName
) -> CountedOwners:
    """The groups of each port, and those of client ports."""
    owners = CountedOwners(defaultdict(list), [], Counter())
    for count in counts:
        if count.kind == HALF_OPEN:
            owners.half_open[count.port] += count.sockets
        elif count.is_client:
            owners.clients.append(_client(count, holders, device_name))
        else:
            owners.groups[count.port].append(_group(count, holders, device_name))
    return owners


def options_of_minis(groups: Iterable[SocketGroup]) -> dict[MiniKey, SocketOptions]:
    """The options of the mini sockets of a port, where all that look alike have the same."""
    found: dict[MiniKey, set[SocketOptions]] = defaultdict(set)
    for group in groups:
        if group.mini:
            key = MiniKey(group.state, group.address, group.device)
            found[key].add(SocketOptions(group.flags, group.v6only))
    return {key: options.pop() for key, options in found.items() if len(options) == 1}


def _group(count: SocketCount, holders: Holders, device_name: DeviceName) -> SocketGroup:
    address = address_text(count.family, count.packed_address)
    options = OPTIONS_OF_BYTE[count.flags]
    mini, with_fd = count.kind == MINI, count.kind == WITH_FD
    v6only = options.v6only if mini else connection_v6only(count.family, address)
    is_ipv4 = count.family == socket.AF_INET
    return SocketGroup(
        family="ipv4" if is_ipv4 else "ipv6",
        state=state_name("tcp", count.state),
        mini=mini,
        address=address,
        device=device_name(count.device),
        v6only=False if is_ipv4 else options.v6only if v6only is None else v6only,
        uid=None if mini else count.uid,
        count=count.sockets,
        with_fd=count.sockets if with_fd else 0,
        first_frees_in_s=count.first_frees_in_s,
        last_frees_in_s=count.last_frees_in_s,
        flags=options.flags,
        holders=holders.get(count.key, ()) if with_fd else (),
    )


def _client(count: SocketCount, holders: Holders, device_name: DeviceName) -> ClientGroup:
    is_counted_by_peer = count.packed_peer != NO_PEER or count.peer_port != 0
    return client_group(
        _group(count, holders, device_name),
        (count.packed_peer, count.peer_port) if is_counted_by_peer else None,
        (count.lowest_port, count.highest_port),
    )
