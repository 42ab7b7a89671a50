"""The lab's thread on a real sandbox, without a screen."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psutil
import pytest
from textual.message import Message

from sockwatch.lab.languages.translation import ENGLISH
from sockwatch.lab.model import ClientSpec, ServerSpec
from sockwatch.lab.steps import Connect, Start
from sockwatch.tui.lab import events
from sockwatch.tui.lab.backend import LabBackend
from sockwatch.tui.lab.lab_commands import OpenSandbox, RunSteps
from sockwatch.tui.lab.thread import LabThread
from sockwatch.tui.messages import LabReported
from tests.conftest import CAN_MAKE_NETNS

DEADLINE_S = 20.0

pytestmark = pytest.mark.skipif(
    not CAN_MAKE_NETNS, reason="this user may not make network namespaces"
)


class Heard:
    """What the thread told, and waiting for it."""

    def __init__(self) -> None:
        self.events: list[events.LabEvent] = []
        self.crashed: list[Message] = []
        self._changed = threading.Condition()

    def tell(self, message: Message) -> None:
        assert isinstance(message, LabReported)
        with self._changed:
            self.events.append(message.event)
            self._changed.notify_all()

    def wait_for(self, kind: type[events.LabEvent], count: int = 1) -> None:
        def there() -> bool:
            return sum(isinstance(one, kind) for one in self.events) >= count

        with self._changed:
            assert self._changed.wait_for(there, DEADLINE_S), self.events


@pytest.fixture
def lab() -> Iterator[tuple[LabThread, Heard]]:
    thread, heard = LabThread(LabBackend(pause_s=0.0), ENGLISH), Heard()
    thread.start(heard.tell, heard.crashed.append)
    yield thread, heard
    thread.close()
    thread.join(DEADLINE_S)
    assert heard.crashed == []


def test_closing_ends_a_step_that_takes_long(lab: tuple[LabThread, Heard]) -> None:
    thread, heard = lab
    thread.submit(OpenSandbox("own"))
    # Nobody accepts: the kernel drops the fourth and lets connect() wait for minutes.
    waiting = ClientSpec(count=9, closes="nobody", patience_s=600.0)
    server = ServerSpec(backlog=1, accepts=False)
    thread.submit(
        RunSteps((Start("a server", "server", server), Connect("clients", "client", waiting)))
    )
    heard.wait_for(events.StepStarted, 2)
    in_sandbox = psutil.Process().children(recursive=True)
    thread.close()
    thread.join(DEADLINE_S)
    assert not thread._thread.is_alive()
    assert psutil.wait_procs(in_sandbox, DEADLINE_S)[1] == []


def test_a_thousand_connections_do_not_fill_a_channel(lab: tuple[LabThread, Heard]) -> None:
    thread, heard = lab
    thread.submit(OpenSandbox("own"))
    many = ClientSpec(count=1000)
    start = Start("a server", "server", ServerSpec(backlog=128))
    thread.submit(RunSteps((start, Connect("clients", "client", many, servers=("server",)))))
    heard.wait_for(events.StepFinished, 2)
    report = next(
        one.report for one in reversed(heard.events) if isinstance(one, events.StepFinished)
    )
    assert report.kernel == "ok"
    assert len(report.calls) == 10_000
    assert sum(isinstance(one, events.CallMade) for one in heard.events) < 100
