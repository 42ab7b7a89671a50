"""`python -m sockwatch`, which also tells of each look as it begins and as it ends.

Arguments: an fd for that, then those of sockwatch. Nothing else differs from the program.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from functools import partial
from typing import TYPE_CHECKING
from unittest.mock import patch

from sockwatch import tui
from sockwatch.cli import main
from sockwatch.model import SockwatchError

if TYPE_CHECKING:
    from sockwatch.kernel.snapshot import SnapshotReader
    from sockwatch.model import Snapshot

TOLD = struct.Struct("=cd")  # which of these, and time.monotonic(), which all processes share
BEGUN, ENDED, REFUSED = b"(", b")", b"!"


class Teller:
    """Looks as the program does, and tells of it."""

    def __init__(self, tell: int) -> None:
        self._tell = tell
        self._reader: SnapshotReader | None = None

    def take(self, port: int | None) -> Snapshot:
        if self._reader is None:
            from sockwatch.kernel.snapshot import SnapshotReader

            self._reader = SnapshotReader()
        self._say(BEGUN)
        try:
            snapshot = self._reader.take(port)
        except SockwatchError:
            self._say(REFUSED)
            raise
        self._say(ENDED)
        return snapshot

    def _say(self, what: bytes) -> None:
        os.write(self._tell, TOLD.pack(what, time.monotonic()))


if __name__ == "__main__":
    with patch.object(tui, "run", partial(tui.run, take=Teller(int(sys.argv[1])).take)):
        raise SystemExit(main(sys.argv[2:]))
