"""Command lines, read by threads that can be left behind.

To read one is to wait for the process's mmap lock, which a dead disk may hold for ever. So a look
waits for new ones a moment and no longer. A reader that is stuck keeps its thread until the process
answers or ends, and while it waits, no other thread asks that process: one may hold sockets in each
of a hundred network namespaces, which are looked at one by one.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

from sockwatch.kernel.proc.proc_file import read_proc_file
from sockwatch.kernel.proc.proc_stat import ProcessRecord
from sockwatch.text import COMMAND_LIMIT

MOST_BYTES: Final = 4 * COMMAND_LIMIT + 1  # UTF-8 takes up to 4 bytes a character
RENEW_S: Final = 10.0  # setproctitle changes one without execve(2)
STALLED_S: Final = 0.02  # a read takes microseconds; after this, another thread reads the rest
STUCK_S: Final = 0.3
FIRST_LOOK_S: Final = 2.0  # at most; the only look that a command takes is to be complete
LATER_LOOK_S: Final = 0.05
MOST_READERS: Final = 8


class _Line(NamedTuple):
    record: ProcessRecord
    text: bytes | None  # None if it could not be asked for
    until: float  # time.monotonic()


class CommandLines:
    """Remembers the command line of each process that it was asked for. Use it from one thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()  # of all that follows
        self._lines: dict[int, _Line] = {}
        self._queue: deque[tuple[int, ProcessRecord]] = deque()
        self._readers: set[_Reader] = set()
        self._look_s = FIRST_LOOK_S
        self.unanswered = 0  # processes of the last look

    def read(self, records: Mapping[int, ProcessRecord]) -> dict[int, bytes | None]:
        """As much of each as is ever shown, by pid; None where there is no answer yet.

        It is empty if there is none, or it may not be read. One that is RENEW_S old is read again,
        and returned as it was meanwhile.
        """
        end = time.monotonic() + self._look_s
        self._look_s = LATER_LOOK_S
        with self._changed:
            self._ask(records)
            self._keep_reading()
            while (now := time.monotonic()) < end and self._is_waiting_for(records, now):
                self._changed.wait(min(STALLED_S, end - now))
                self._keep_reading()
            texts = {
                pid: self._lines[pid].text if self._knows(pid, record) else None
                for pid, record in records.items()
            }
        self.unanswered = sum(text is None for text in texts.values())
        return texts

    def until(self, pid: int) -> float:
        """Until when, of time.monotonic(), its line is current; 0 where there is no answer."""
        with self._changed:
            line = self._lines.get(pid)
        return 0.0 if line is None or line.text is None else line.until

    def forget_others(self, pids: set[int]) -> None:
        """Drop what is remembered of other processes."""
        with self._changed:
            for pid in self._lines.keys() - pids:
                del self._lines[pid]

    def _ask(self, records: Mapping[int, ProcessRecord]) -> None:
        """Queue what is unknown or old, and not being read."""
        now = time.monotonic()
        asked = {pid for pid, _ in self._queue} | {reader.pid for reader in self._readers}
        asked |= {reader.pid for reader in tuple(_running) if now >= reader.stuck_at}
        for pid, record in records.items():
            is_current = self._knows(pid, record) and now < self._lines[pid].until
            if not is_current and pid not in asked:
                self._queue.append((pid, record))

    def _is_waiting_for(self, records: Mapping[int, ProcessRecord], now: float) -> bool:
        """Whether what is unknown of them may still come."""
        to_come = {pid for pid, _ in self._queue}
        to_come |= {reader.pid for reader in self._readers if now < reader.stuck_at}
        return any(not self._knows(pid, records[pid]) for pid in to_come & records.keys())

    def _knows(self, pid: int, record: ProcessRecord) -> bool:
        line = self._lines.get(pid)
        return line is not None and (line.record is record or line.record.is_same(record))

    def _keep_reading(self) -> None:
        """Start a reader where all the others are stalled; give up where there are too many."""
        now = time.monotonic()
        if not self._queue or any(now < reader.stalled_at for reader in self._readers):
            return
        if len(self._readers) < MOST_READERS:
            reader = _Reader(self)
            try:
                reader.start()
            except RuntimeError:  # no more threads: RLIMIT_NPROC, or pids.max of the cgroup
                pass
            else:
                self._readers.add(reader)
                _running.add(reader)
                return
        while self._queue:
            pid, record = self._queue.popleft()
            if not self._knows(pid, record):
                self._lines[pid] = _Line(record, None, now + RENEW_S)

    def next_for(self, reader: _Reader) -> tuple[int, ProcessRecord] | None:
        """What the reader reads next; None if it is to end."""
        with self._changed:
            if not self._queue:
                self._readers.discard(reader)
                _running.discard(reader)
                self._changed.notify()
                return None
            pid, record = self._queue.popleft()
            reader.starts(pid)
            return pid, record

    def put(self, pid: int, record: ProcessRecord, text: bytes) -> None:
        """Take an answer of a reader."""
        with self._changed:
            self._lines[pid] = _Line(record, text, time.monotonic() + RENEW_S)


class _Reader(threading.Thread):
    """Reads what is queued. `pid` is the process it waits for, 0 for none yet."""

    def __init__(self, lines: CommandLines) -> None:
        super().__init__(name="command lines", daemon=True)
        self._lines = lines
        self.starts(0)

    def starts(self, pid: int) -> None:
        """Note that the process is asked now."""
        now = time.monotonic()
        # The times first: others read this at any moment, and must not take a new pid for stuck.
        self.stalled_at, self.stuck_at = now + STALLED_S, now + STUCK_S
        self.pid = pid

    def run(self) -> None:
        """Read until the queue is empty."""
        while (asked := self._lines.next_for(self)) is not None:
            self._lines.put(*asked, read_command_line(asked[0]))


_running: Final[set[_Reader]] = set()  # of all CommandLines


def read_command_line(pid: int) -> bytes:
    """Of proc_pid_cmdline(5), at most MOST_BYTES; empty if it may not be read."""
    return read_proc_file(f"/proc/{pid}/cmdline", MOST_BYTES)
