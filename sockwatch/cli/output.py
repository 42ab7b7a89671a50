"""The only writers: data to stdout, narration to stderr."""

from __future__ import annotations

import os
import sys

from sockwatch.model import SockwatchError


def write_data(text: str) -> None:
    """Write to stdout and flush. Raises SockwatchError if the output cannot be written."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # What is still buffered would fail again when the interpreter ends.
        _drop(1)
        raise SockwatchError(f"cannot write to standard output: {error.strerror}") from error


def narrate(text: str, log: str = "") -> None:
    """Write one line to stderr, if it is open; the lines of `log` follow as they are."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(f"sockwatch: {text}\n" + (f"{log.rstrip()}\n" if log else ""))
        sys.stderr.flush()
    except OSError:
        _drop(2)


def _drop(fd: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, fd)
    os.close(nowhere)
