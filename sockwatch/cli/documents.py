"""Documents of `sockwatch snapshot` from a file descriptor, one a line."""

from __future__ import annotations

import os
from typing import Final

from sockwatch import __version__
from sockwatch.export.carried import SIZE_LIMIT, Carried, read_carried
from sockwatch.model import SockwatchError

PIECE: Final = 1 << 16  # bytes


class Documents:
    """Reads no more than a document asks for; a line that is too long is never held in full."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffer = bytearray()

    def next(self) -> Carried | None:
        """The next one; None at the end. Raises SockwatchError for what is none."""
        while (line := self._line()) is not None:
            if not line.isspace():
                return read_carried(line, __version__)
        return None

    def _line(self) -> bytes | None:
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > SIZE_LIMIT:
                raise SockwatchError(f"the document is larger than {SIZE_LIMIT >> 20} MiB")
            try:
                piece = os.read(self._fd, PIECE)
            except OSError as error:
                raise SockwatchError(f"cannot read the document: {error.strerror}") from error
            if not piece:
                line, self._buffer = bytes(self._buffer), bytearray()
                return line or None
            self._buffer += piece
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        return line
