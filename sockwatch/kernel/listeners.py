"""The listeners of one port and nothing else: a look of some 0.1 ms, for those who look often."""

from __future__ import annotations

from sockwatch.kernel import host
from sockwatch.kernel.sock_diag import dumps
from sockwatch.kernel.sock_diag.inet_diag import ALL_STATES, STATE_LISTEN
from sockwatch.kernel.sock_diag.row_decoder import RowDecoder
from sockwatch.model import Protocol, Socket


def read_listeners(protocol: Protocol, port: int) -> tuple[Socket, ...]:
    """The listeners of this thread's network namespace, without flags and holders.

    Raises KernelError where sock_diag(7) is refused.
    """
    decoder = RowDecoder(protocol, host.device_namer(), count_minis=False)
    states = 1 << STATE_LISTEN if protocol == "tcp" else ALL_STATES
    dumps.walk(decoder, states, port)
    return tuple(decoder.sockets)
