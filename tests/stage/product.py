"""The answers of the program itself, asked in a place.

It runs in forked children, which have the modules of the test.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple

from sockwatch.cli import main
from tests.stage.calls import Call
from tests.support.child import become, in_child
from tests.support.netns import setns

Document = dict[str, Any]
LATE_MODULES = ("sockwatch.cli.failure_document", "sockwatch.view.failures", "sockwatch.watch")


class Failures(NamedTuple):
    """A running `sockwatch failures`; `pid` is its process."""

    pid: int
    documents: Iterator[Document]


def load() -> None:
    """Import what the program imports once it needs it, instead of each child."""
    for name in LATE_MODULES:
        import_module(name)
    _printed(Call())


def why(call: Call, uid: int = 0, netns_of: int | None = None) -> Document:
    """What that user is told of the call, in the network namespace of that process."""
    return in_child(_asked, call, uid, netns_of)


def _asked(call: Call, uid: int, netns_of: int | None) -> Document:
    if netns_of is not None:
        with open(f"/proc/{netns_of}/ns/net") as there:
            setns(there.fileno())
    if uid:
        become(uid)
    return _printed(call)


def _printed(call: Call) -> Document:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        main(["why", *call.words, "--json"])
    return json.loads(output.getvalue())  # type: ignore[no-any-return]


@contextmanager
def failures() -> Iterator[Failures]:
    """The failures of all places, from when the watch has begun."""
    (output, theirs), (said, their_words) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            sys.stdout, sys.stderr = open(theirs, "w"), open(their_words, "w")  # noqa: SIM115
            main(["failures", "--json"])
        finally:
            os._exit(1)
    os.close(theirs)
    os.close(their_words)
    try:
        with open(output) as documents, open(said) as words:
            assert "watching" in (line := words.readline()), line + words.read()
            yield Failures(pid, map(json.loads, documents))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@contextmanager
def paused(pid: int) -> Iterator[None]:
    """Let it see nothing until the end of this."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
