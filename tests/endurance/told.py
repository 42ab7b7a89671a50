"""`python -m sockwatch`, which also tells of each look as it begins and as it ends.

Arguments: an fd for that, then those of sockwatch. Nothing else differs from the program.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from unittest.mock import patch

from sockwatch.cli import main
from sockwatch.model import SockwatchError
from sockwatch.tui.first_look import HostReader

if TYPE_CHECKING:
    from sockwatch.model import Snapshot

TOLD = struct.Struct("=cd")  # which of these, and time.monotonic(), which all processes share
BEGUN, ENDED, REFUSED = b"(", b")", b"!"

Look = Callable[[HostReader, "int | None"], "Snapshot"]


def telling(look: Look, tell: int) -> Look:
    """The look, which also tells of itself."""

    def say(what: bytes) -> None:
        os.write(tell, TOLD.pack(what, time.monotonic()))

    def told(reader: HostReader, port: int | None) -> Snapshot:
        say(BEGUN)
        try:
            snapshot = look(reader, port)
        except SockwatchError:
            say(REFUSED)
            raise
        say(ENDED)
        return snapshot

    return told


def run(tell: int, arguments: list[str]) -> int:
    """Both kinds of look: with client ports folded, and at each port."""
    with patch.multiple(
        HostReader,
        take=telling(HostReader.take, tell),
        take_each_port=telling(HostReader.take_each_port, tell),
    ):
        return main(arguments)


if __name__ == "__main__":
    raise SystemExit(run(int(sys.argv[1]), sys.argv[2:]))
