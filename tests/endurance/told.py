"""`python -m sockwatch`, which also tells of each look as it begins and as it ends.

Arguments: an fd for that, then those of sockwatch. Nothing else differs from the program.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import ParamSpec, TypeVar
from unittest.mock import patch

from sockwatch.cli import main
from sockwatch.model import SockwatchError
from sockwatch.tui.first_look import HostReader
from sockwatch.tui.namespaces import HostNamespaces

Asked = ParamSpec("Asked")
Seen = TypeVar("Seen")

TOLD = struct.Struct("=cd")  # which of these, and time.monotonic(), which all processes share
BEGUN, ENDED, REFUSED = b"(", b")", b"!"


def telling(look: Callable[Asked, Seen], tell: int) -> Callable[Asked, Seen]:
    """The look, which also tells of itself."""

    def say(what: bytes) -> None:
        os.write(tell, TOLD.pack(what, time.monotonic()))

    def told(*args: Asked.args, **kwargs: Asked.kwargs) -> Seen:
        say(BEGUN)
        try:
            seen = look(*args, **kwargs)
        except SockwatchError:
            say(REFUSED)
            raise
        say(ENDED)
        return seen

    return told


def run(tell: int, arguments: list[str]) -> int:
    """Every kind of look: at our namespace, each port of it, all namespaces, a port of another."""
    with ExitStack() as stack:
        for reader, name in (
            (HostReader, "take"),
            (HostReader, "take_each_port"),
            (HostNamespaces, "take"),
            (HostNamespaces, "take_in"),
        ):
            look = telling(getattr(reader, name), tell)
            stack.enter_context(patch.object(reader, name, look))
        return main(arguments)


if __name__ == "__main__":
    raise SystemExit(run(int(sys.argv[1]), sys.argv[2:]))
