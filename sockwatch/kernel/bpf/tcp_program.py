"""The program for iter/tcp: a row for each socket, or a count of those that are alike.

Context: ``bpf_iter__tcp`` of net/ipv4/tcp_ipv4.c. A socket whose port is a client's alone is
counted by its destination instead of its port. That is one without a listener or bound socket on
its port, and whose port bind() chose (SOCK_BINDPORT_LOCK; an accepted socket never has it), or
connect() chose for all on it (``inet_bind_bucket.fastreuse`` is -1). So a dead server's port stays
a port.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sockwatch.kernel.bpf import rows
from sockwatch.kernel.bpf.assembler import Assembler, R, StackRecord
from sockwatch.kernel.bpf.helpers import (
    JIFFIES_64,
    PROBE_READ_KERNEL,
    TO_TCP_SOCK,
    TO_TIME_WAIT_SOCK,
)
from sockwatch.kernel.bpf.snippets import (
    CTX,
    OPTIONS,
    ROW,
    SOCK,
    add_row,
    begin,
    copy_cookie,
    copy_inode,
    copy_key,
    copy_peer,
    end,
    jump_if_port_in,
    load_option,
    look_up_row,
    mark_port,
    skip_other_ports,
    write,
)

if TYPE_CHECKING:
    from sockwatch.kernel.bpf.layout import Layout

_TIME_WAIT, _LISTEN = 6, 10  # include/net/tcp_states.h
_BINDPORT_LOCK = 8  # SOCK_BINDPORT_LOCK of include/net/sock.h
_CHOSEN_BY_CONNECT = 0xFF  # fastreuse is a signed char

_EXPIRES = CTX  # its register, once the context has been read; 0 for a full socket
_TALLY = StackRecord(
    rows.TALLY_COLUMNS, rows.TALLY_STRUCT.size, rows.ROW_STRUCT.size + rows.TALLY_STRUCT.size
)


class TcpMaps(NamedTuple):
    """The fds of the maps that the program uses.

    `own_ports` has a bit for each port that is no client's, `client_ports` gets those of clients.
    """

    options: int
    counts: int
    own_ports: int
    client_ports: int


def tcp_program(layout: Layout, maps: TcpMaps, *, may_read_kernel: bool = True) -> Assembler:
    """Rows and counts as the option `wanted` says; listeners are always rows.

    With `may_read_kernel` it knows the timers of MPTCP's mini sockets too.
    What finds the map full, or has no timer to be had, is written as a row marked as such: nothing
    is lost. Raises BpfUnavailable (old-kernel).
    """
    code = Assembler()
    begin(code, layout, maps.options)
    code.jump_if(SOCK, "==", 0, "last")
    skip_other_ports(code, layout)
    code.load_field(R.R1, SOCK, layout.field("sock_common.skc_state"))
    for state in (_TIME_WAIT, _LISTEN):
        code.jump_if(R.R1, "==", state, "wanted")
    load_option(code, R.R1, "wanted")
    code.compute(R.R1, "&", rows.WRITE_FULL | rows.COUNT_FULL)
    code.jump_if(R.R1, "==", 0, "done")
    code.label("wanted")
    copy_key(code, layout)
    code.put(ROW, "frees_in_jiffies", rows.NO_CLOCK)
    code.get(R.R1, ROW, "state")
    code.jump_if(R.R1, "==", _TIME_WAIT, "mini")
    _full(code, layout, maps)
    _mini(code, layout, maps, may_read_kernel)
    _count(code, layout, maps)
    code.label("identified")
    copy_cookie(code, layout)
    code.jump("write")
    end(code)
    return code


def _full(code: Assembler, layout: Layout, maps: TcpMaps) -> None:
    code.compute(_EXPIRES, "=", 0)
    code.compute(R.R1, "=", SOCK)
    code.call(TO_TCP_SOCK)
    code.jump_if(R.R0, "==", 0, "half-open")
    code.get(R.R1, ROW, "state")
    code.jump_if(R.R1, "==", _LISTEN, "row")
    load_option(code, R.R1, "wanted")
    code.compute(R.R1, "&", rows.COUNT_FULL)
    code.jump_if(R.R1, "!=", 0, "counted")
    code.label("row")
    copy_inode(code, layout, R.R0)
    code.jump("identified")
    code.label("counted")
    code.load_field(R.R1, R.R0, layout.field("sock.sk_uid.val"))
    code.put(ROW, "uid", R.R1)
    code.load_field(R.R1, R.R0, layout.field("sock.sk_socket"))
    code.jump_if(R.R1, "!=", 0, "has an fd")
    code.put(ROW, "kind", rows.WITHOUT_FD)
    code.label("has an fd")
    _jump_if_own(code, layout, maps)
    code.load_field(R.R1, R.R0, layout.field("sock.sk_userlocks"))
    code.compute(R.R1, "&", _BINDPORT_LOCK)
    code.jump_if(R.R1, "!=", 0, "client")
    _jump_if_chosen_by_connect(code, layout, "tcp_sock.inet_conn.icsk_bind_hash")
    code.jump("count")

    code.label("half-open")
    # reqsk_alloc() of include/net/request_sock.h leaves the bits of an older request in place.
    code.put(ROW, "flags", 0)
    code.put(ROW, "kind", rows.HALF_OPEN)
    load_option(code, R.R1, "wanted")
    code.compute(R.R1, "&", rows.COUNT_FULL)
    code.jump_if(R.R1, "==", 0, "identified")
    code.jump("count")


def _mini(code: Assembler, layout: Layout, maps: TcpMaps, may_read_kernel: bool) -> None:
    code.label("mini")
    code.put(ROW, "kind", rows.MINI)
    code.put(ROW, "spilled", 1)
    code.compute(R.R1, "=", SOCK)
    code.call(TO_TIME_WAIT_SOCK)
    code.jump_if(R.R0, "==", 0, "of MPTCP" if may_read_kernel else "identified")
    code.put(ROW, "spilled", 0)
    # TIME_WAIT, or FIN_WAIT2 after close(): include/net/inet_timewait_sock.h
    code.load_field(R.R1, R.R0, layout.field("tcp_timewait_sock.tw_sk.tw_substate"))
    code.put(ROW, "state", R.R1)
    code.load_field(_EXPIRES, R.R0, layout.field("tcp_timewait_sock.tw_sk.tw_timer.expires"))
    _jump_if_own(code, layout, maps)
    _jump_if_chosen_by_connect(code, layout, "tcp_timewait_sock.tw_sk.tw_tb")
    code.jump("counted or written")
    if may_read_kernel:
        _mini_of_mptcp(code, layout)

    code.label("client")
    code.put(ROW, "client", 1)
    code.put(ROW, "port", 0)
    copy_peer(code, layout)
    mark_port(code, layout, maps.client_ports)
    code.label("own")
    code.label("counted or written")
    code.jump_if(_EXPIRES, "==", 0, "count")
    load_option(code, R.R1, "wanted")
    code.compute(R.R1, "&", rows.WRITE_MINI)
    code.jump_if(R.R1, "==", 0, "written")
    copy_cookie(code, layout)
    _put_time_left(code)
    write(code)
    code.jump_if(R.R0, "!=", 0, "done")  # the buffer is full: the kernel comes back with it
    code.label("written")
    load_option(code, R.R1, "wanted")
    code.compute(R.R1, "&", rows.COUNT_MINI)
    code.jump_if(R.R1, "==", 0, "done")
    code.jump("count")


def _mini_of_mptcp(code: Assembler, layout: Layout) -> None:
    """Copy by hand what the kernel casts for plain TCP only: the struct is the same."""
    code.label("of MPTCP")
    for member, column in (("tw_timer.expires", "frees_in_jiffies"), ("tw_substate", "state")):
        location = layout.field(f"tcp_timewait_sock.tw_sk.{member}")
        code.address_of(R.R1, ROW)
        code.compute(R.R1, "+", ROW.columns[column].offset)
        code.compute(R.R2, "=", ROW.columns[column].size)
        code.compute(R.R3, "=", SOCK)
        code.compute(R.R3, "+", location.offset)
        code.call(PROBE_READ_KERNEL)
    code.get(_EXPIRES, ROW, "frees_in_jiffies")
    code.put(ROW, "frees_in_jiffies", rows.NO_CLOCK)
    code.put(ROW, "spilled", 0)
    code.jump("counted or written")


def _jump_if_own(code: Assembler, layout: Layout, maps: TcpMaps) -> None:
    """Jump to ``own`` if clients are not to be told apart, or the port has an owner."""
    load_option(code, R.R1, "wanted")
    code.compute(R.R1, "&", rows.FOLD_CLIENTS)
    code.jump_if(R.R1, "==", 0, "own")
    jump_if_port_in(code, layout, maps.own_ports, "own")


def _jump_if_chosen_by_connect(code: Assembler, layout: Layout, bucket: str) -> None:
    """Jump to ``client`` if the port's bucket, a member of the socket in r0, is a client's."""
    if bucket in layout.fields and "inet_bind_bucket.fastreuse" in layout.fields:
        code.load_field(R.R1, R.R0, layout.field(bucket))
        code.load_field(R.R1, R.R1, layout.field("inet_bind_bucket.fastreuse"))
        code.compute(R.R1, "&", _CHOSEN_BY_CONNECT)
        code.jump_if(R.R1, "==", _CHOSEN_BY_CONNECT, "client")


def _put_time_left(code: Assembler) -> None:
    code.call(JIFFIES_64)
    code.compute(R.R1, "=", _EXPIRES)
    code.compute(R.R1, "-", R.R0)
    code.put(ROW, "frees_in_jiffies", R.R1)


def _count(code: Assembler, layout: Layout, maps: TcpMaps) -> None:
    """Add a socket to those alike, and be done with it; goes on where the map is full.

    The key is the first columns of its row.
    """
    code.label("count")
    look_up_row(code, maps.counts)
    code.jump_if(R.R0, "!=", 0, "found")
    code.get(R.R1, ROW, "client")
    code.jump_if(R.R1, "==", 0, "new")
    load_option(code, R.R1, "destinations")
    code.jump_if(R.R1, ">=", rows.MOST_DESTINATIONS, "too many")
    code.compute(R.R1, "+", 1)
    column = rows.OPTION_COLUMNS["destinations"]
    code.store(OPTIONS, column.offset, R.R1, column.size)
    code.jump("new")
    code.label("too many")
    peer = ROW.start + ROW.columns["peer"].offset
    for half in (0, 8):
        code.store_number(R.STACK, peer + half, 0, 8)
    code.put(ROW, "peer_port", 0)
    look_up_row(code, maps.counts)
    code.jump_if(R.R0, "!=", 0, "found")

    code.label("new")
    code.put(_TALLY, "sockets", 1)
    code.put(_TALLY, "first_expiry", _EXPIRES)
    code.put(_TALLY, "last_expiry", _EXPIRES)
    code.load_field(R.R1, SOCK, layout.field("sock_common.skc_num"))
    code.put(_TALLY, "lowest_port", R.R1)
    code.put(_TALLY, "highest_port", R.R1)
    code.put(_TALLY, "spare", 0)
    add_row(code, maps.counts, _TALLY)
    code.jump_if(R.R0, "==", 0, "done")
    code.put(ROW, "spilled", 1)
    code.load_field(R.R1, SOCK, layout.field("sock_common.skc_num"))
    code.put(ROW, "port", R.R1)
    code.jump_if(_EXPIRES, "==", 0, "identified")
    _put_time_left(code)
    code.jump("identified")

    code.label("found")
    _add(code, layout)
    code.jump("done")


def _add(code: Assembler, layout: Layout) -> None:
    """Add the socket to the entry at r0."""
    columns = _TALLY.columns
    code.load(R.R1, R.R0, columns["sockets"].offset, 8)
    code.compute(R.R1, "+", 1)
    code.store(R.R0, columns["sockets"].offset, R.R1, 8)
    code.load_field(R.R2, SOCK, layout.field("sock_common.skc_num"))
    for name, order, value in (
        ("lowest_port", "<=", R.R2),
        ("highest_port", ">=", R.R2),
        ("first_expiry", "s<=", _EXPIRES),
        ("last_expiry", "s>=", _EXPIRES),
    ):
        column = columns[name]
        code.load(R.R1, R.R0, column.offset, column.size)
        code.jump_if(R.R1, order, value, f"{name} stays")
        code.store(R.R0, column.offset, value, column.size)
        code.label(f"{name} stays")
