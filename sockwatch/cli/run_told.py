"""What `sockwatch run` says of failures, in the process that explains them."""

from __future__ import annotations

import os
import termios
from contextlib import suppress
from typing import Final

from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.failure import ExplainedFailure
from sockwatch.cli.failure_document import failure_document
from sockwatch.kernel.failures.decoder import FailureDecoder
from sockwatch.kernel.failures.rows import decode
from sockwatch.kernel.proc.pidfd import SOURCE
from sockwatch.units import spoken_duration
from sockwatch.view.failure_page import failure_lines, failure_title
from sockwatch.view.lines import wrapped
from sockwatch.watch.explainer import FailureExplainer

WIDTH: Final = 80
PREFIX: Final = "sockwatch: "
_OUTPUT_FLAGS = 1  # in what termios.tcgetattr() returns


class FailureOutput:
    """Writes failures to an fd, each with one write; text, or a JSON line each."""

    def __init__(self, fd: int, *, as_json: bool) -> None:
        self._fd = fd
        self._as_json = as_json

    def write(self, explained: ExplainedFailure, home_netns: int, more: str = "") -> None:
        """The failure; `more` is added to its first line."""
        if self._as_json:
            self._write(failure_document(explained))
            return
        title, *lines = wrapped(failure_lines(explained, home_netns), WIDTH - len(PREFIX))
        self.say(f"{title}{more}", *map(str, lines))

    def say(self, *lines: str) -> None:
        """Lines for people alone."""
        if not self._as_json:
            self._write("".join(f"{PREFIX}{line}\n" for line in lines))

    def _write(self, text: str) -> None:
        data = text.encode(errors="replace")
        if self._is_raw():
            data = data.replace(b"\n", b"\r\n")
        with suppress(OSError):  # nobody reads it any more
            while data:
                data = data[os.write(self._fd, data) :]

    def _is_raw(self) -> bool:
        """Whether a program on the terminal writes its line ends itself."""
        try:
            return not termios.tcgetattr(self._fd)[_OUTPUT_FLAGS] & termios.OPOST
        except termios.error:
            return False


class FailureTeller:
    """Explains records of failures: the act.telling.Teller of `sockwatch run`."""

    def __init__(self, output: FailureOutput) -> None:
        self._output = output
        self._decoder = FailureDecoder()
        self._explainer = FailureExplainer()

    def failed(self, record: bytes, *, waits: bool) -> bool:
        """Explain the failure. True if the program itself has what it asks for."""
        explained = self._explained(record)
        is_its_own = blocks_itself(explained)
        more = "; it waits until this succeeds" if waits and not is_its_own else ""
        self._output.write(explained, self._explainer.home_netns, more)
        return is_its_own

    def ended(self, record: bytes, waited_s: float, *, went_on: bool) -> None:
        """Say how it went on after it has waited."""
        (failure,) = self._decoder.failures((decode(record),))
        title = failure_title(ExplainedFailure(failure)).removesuffix(f" {failure.errno}")
        result = "succeeds" if went_on else f"gets {failure.errno}"
        self._output.say(f"{title} {result} after {spoken_duration(waited_s)}")

    def _explained(self, record: bytes) -> ExplainedFailure:
        (failure,) = self._decoder.failures((decode(record),))
        flags = failure.flags._replace(source=SOURCE)
        (explained,) = self._explainer.explain((failure._replace(flags=flags),))
        return explained


def blocks_itself(explained: ExplainedFailure) -> bool:
    """Whether the program that failed has the port itself, so that no waiting helps."""
    if explained.cause is not None and explained.cause.id == CauseId.SAME_PROCESS:
        return True
    holders = (holder for blocker in explained.blockers for holder in blocker.holders)
    return explained.failure.pid in {holder.pid for holder in holders}


def key_of(explained: ExplainedFailure) -> tuple[object, ...]:
    """What is told once: the address, the call and its errno."""
    failure = explained.failure
    return (*address_of(explained), failure.call, failure.errno)


def address_of(explained: ExplainedFailure) -> tuple[object, ...]:
    """The address that the call was about."""
    failure = explained.failure
    return (failure.protocol, failure.family, failure.address, failure.port)
