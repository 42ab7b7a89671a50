"""The BPF watch of `sockwatch run`, in a process of its own."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sockwatch.act.processes import fork
from sockwatch.act.supervisor import MOST_TOLD, Tally

if TYPE_CHECKING:
    from sockwatch.cli.run_told import FailureOutput
    from sockwatch.watch import FailureWatch

READY: Final = b"ready"
TOO_FAST: Final = "they came too fast"
_MOST_BYTES = 65_536


class FailureWatcher:
    """Watches for failures of this process's descendants, from its creation until finish().

    Raises SockwatchError where this host, or this user, cannot watch.
    """

    def __init__(self, fd: int, *, as_json: bool) -> None:
        from sockwatch.model import SockwatchError

        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ancestor = os.getpid()
        fork(lambda: _watch(theirs, fd, ancestor, as_json=as_json), (theirs.fileno(), fd))
        theirs.close()
        answer = self._channel.recv(_MOST_BYTES)
        if answer != READY:
            self._channel.close()
            raise SockwatchError(answer.decode() or "the process that watches has ended")

    def finish(self, patience_s: float) -> Tally:
        """What it has seen, once all of it is told; waits for so many seconds at most."""
        tally = Tally()
        with suppress(OSError, ValueError):
            self._channel.shutdown(socket.SHUT_WR)
            poll = select.poll()
            poll.register(self._channel, select.POLLIN)
            if poll.poll(patience_s * 1000):
                tally = Tally(**json.loads(self._channel.recv(_MOST_BYTES)))
        self._channel.close()
        return tally


def _watch(channel: socket.socket, fd: int, ancestor: int, *, as_json: bool) -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # a reader that has gone does not end us
    from sockwatch.kernel.bpf.errors import BpfUnavailable
    from sockwatch.watch import FailureWatch, refusal

    try:
        watch = FailureWatch(descendants_of=ancestor)
    except BpfUnavailable as error:
        channel.send(refusal(error).encode())
        return
    with watch:
        from sockwatch.cli.run_told import FailureOutput

        channel.send(READY)
        tally = _tell(watch, channel, FailureOutput(fd, as_json=as_json))
        channel.send(json.dumps(tally._asdict()).encode())


def _tell(watch: FailureWatch, channel: socket.socket, output: FailureOutput) -> Tally:
    """Until our parent has no more to say, or has ended."""
    from sockwatch.cli.run_told import address_of, key_of
    from sockwatch.kernel.host import netns_inode

    home = netns_inode()
    finished = threading.Event()

    def until_the_end() -> None:
        with suppress(OSError):
            channel.recv(1)
        finished.set()
        watch.wake()

    threading.Thread(target=until_the_end, daemon=True).start()
    told: set[object] = set()
    addresses: set[object] = set()
    count = 0
    while True:
        was_finished = finished.is_set()
        failures = watch.wait(0 if was_finished else None)
        for explained in failures:
            count += 1 + explained.failure.repeats
            addresses.add(address_of(explained))
            if (key := key_of(explained)) not in told and len(told) < MOST_TOLD:
                told.add(key)
                output.write(explained, home)
        if was_finished and not failures:
            return Tally(count, len(addresses), 0, ((TOO_FAST, watch.lost),) if watch.lost else ())
