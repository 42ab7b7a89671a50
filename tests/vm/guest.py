"""What runs in the guest: looks at what can be seen there, then runs tests. The answer leaves by
the second serial port as one JSON document.
"""

from __future__ import annotations

import json
import os
import platform
import termios
import time
import tty
from pathlib import Path
from typing import Any, Final

import pytest

from sockwatch.bind.kernels import Quirk
from sockwatch.kernel import host
from tests.bind.quirk_trials import has_quirk
from tests.support.child import in_child
from tests.support.netns import enter_new_netns
from tests.vm import sights

REQUEST: Final = Path("/request.json")
ANSWER: Final = Path("/dev/ttyS1")


class Recorder:
    """A plugin of pytest that keeps how each test ended."""

    def __init__(self) -> None:
        self.tests: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called for set-up, call and tear-down of each."""
        test = self.tests.setdefault(report.nodeid, {"outcome": "passed", "seconds": 0.0})
        test["seconds"] = round(test["seconds"] + report.duration, 2)
        if report.skipped and isinstance(report.longrepr, tuple):
            test |= {"outcome": "skipped", "reason": report.longrepr[2].removeprefix("Skipped: ")}
        elif report.failed:
            test |= {"outcome": "failed", "reason": str(report.longrepr)[-2000:]}


def answer(arguments: list[str]) -> dict[str, Any]:
    """The whole document."""
    started = time.monotonic()
    document: dict[str, Any] = {
        "kernel": host.kernel_release(),
        "release": host.patch_level() or host.kernel_release(),
        "python": platform.python_version(),
        "sights": sights.every(),
        "quirks": {quirk.name: in_child(_ask, quirk) for quirk in Quirk},
    }
    recorder = Recorder()
    if arguments:
        document["exit"] = int(pytest.main(arguments, [recorder]))
    document["tests"] = recorder.tests
    document["seconds"] = round(time.monotonic() - started)
    return document


def _ask(quirk: Quirk) -> bool:
    enter_new_netns()
    return has_quirk(quirk)


def _send(document: dict[str, Any]) -> None:
    with open(ANSWER, "wb", buffering=0) as port:
        tty.setraw(port.fileno())
        data = json.dumps(document).encode() + b"\n"
        while data:
            data = data[port.write(data) or 0 :]
        termios.tcdrain(port.fileno())


if __name__ == "__main__":
    os.environ["SOCKWATCH_TEST_SEED"] = str(json.loads(REQUEST.read_text())["seed"])
    _send(answer(json.loads(REQUEST.read_text())["arguments"]))
