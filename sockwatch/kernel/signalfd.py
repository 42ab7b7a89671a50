"""Signals read from an fd, with who has sent them: signalfd(2)."""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from sockwatch.kernel import libc

FROM_KERNEL: Final = 0x80  # SI_KERNEL: a key of the terminal, its end, a timer
_INFO = struct.Struct("@IiiI112x")  # struct signalfd_siginfo: ssi_signo, _errno, _code, _pid


class Received(NamedTuple):
    """A signal: `code` is si_code, `pid` that of its sender."""

    number: int
    code: int
    pid: int


class SignalFd:
    """Receives signals that this thread blocks."""

    def __init__(self, signals: Iterable[signal.Signals]) -> None:
        self.fd = libc.signalfd(signals)

    def take(self) -> Iterator[Received]:
        """Those that have come."""
        while True:
            try:
                number, _, code, pid = _INFO.unpack(os.read(self.fd, _INFO.size))
            except BlockingIOError:
                return
            yield Received(number, code, pid)

    def close(self) -> None:
        """They stay blocked."""
        os.close(self.fd)
