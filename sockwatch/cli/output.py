"""The only writers: data to stdout, narration to stderr."""

from __future__ import annotations

import io
import os
import sys

from sockwatch.model import SockwatchError


def write_data(text: str) -> None:
    """Write to stdout and flush; what its encoding lacks becomes ``?``.

    Raises SockwatchError if the output cannot be written.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # What is still buffered would fail again when the interpreter ends.
        _drop(1)
        raise SockwatchError(f"cannot write to standard output: {error.strerror}") from error


def write_json(text: str) -> None:
    """Write a JSON document as write_data() does, in UTF-8 whatever the locale is (RFC 8259)."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    write_data(text)


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
