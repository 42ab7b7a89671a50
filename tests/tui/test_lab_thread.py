"""The lab's thread on a real stage, without a screen."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psutil
import pytest
from textual.message import Message

from sockwatch.lab.model import ClientSpec, ServerSpec
from sockwatch.lab.steps import Connect, Start
from sockwatch.tui.lab import news
from sockwatch.tui.lab.backend import LabBackend
from sockwatch.tui.lab.thread import Do, LabThread, Open
from sockwatch.tui.messages import LabTold
from tests.conftest import CAN_MAKE_NETNS

DEADLINE_S = 20.0

pytestmark = pytest.mark.skipif(
    not CAN_MAKE_NETNS, reason="this user may not make network namespaces"
)


class Heard:
    """What the thread told, and waiting for it."""

    def __init__(self) -> None:
        self.news: list[news.News] = []
        self.crashed: list[Message] = []
        self._changed = threading.Condition()

    def tell(self, message: Message) -> None:
        assert isinstance(message, LabTold)
        with self._changed:
            self.news.append(message.news)
            self._changed.notify_all()

    def wait_for(self, kind: type[news.News], count: int = 1) -> None:
        def there() -> bool:
            return sum(isinstance(one, kind) for one in self.news) >= count

        with self._changed:
            assert self._changed.wait_for(there, DEADLINE_S), self.news


@pytest.fixture
def lab() -> Iterator[tuple[LabThread, Heard]]:
    thread, heard = LabThread(LabBackend(pause_s=0.0)), Heard()
    thread.start(heard.tell, heard.crashed.append)
    yield thread, heard
    thread.close()
    thread.join(DEADLINE_S)
    assert heard.crashed == []


def test_closing_ends_a_step_that_takes_long(lab: tuple[LabThread, Heard]) -> None:
    thread, heard = lab
    thread.ask(Open("own"))
    # Nobody accepts: the kernel drops the fourth and lets connect() wait for minutes.
    waiting = ClientSpec(count=9, closes="nobody", patience_s=600.0)
    server = ServerSpec(backlog=1, accepts=False)
    thread.ask(Do((Start("a server", "server", server), Connect("clients", "client", waiting))))
    heard.wait_for(news.StepBegins, 2)
    on_stage = psutil.Process().children(recursive=True)
    thread.close()
    thread.join(DEADLINE_S)
    assert not thread._thread.is_alive()
    assert psutil.wait_procs(on_stage, DEADLINE_S)[1] == []


def test_a_thousand_connections_do_not_fill_a_channel(lab: tuple[LabThread, Heard]) -> None:
    thread, heard = lab
    thread.ask(Open("own"))
    many = ClientSpec(count=1000)
    start = Start("a server", "server", ServerSpec(backlog=128))
    thread.ask(Do((start, Connect("clients", "client", many, servers=("server",)))))
    heard.wait_for(news.StepDone, 2)
    report = next(one.report for one in reversed(heard.news) if isinstance(one, news.StepDone))
    assert report.kernel == "ok"
    assert len(report.calls) == 10_000
    assert sum(isinstance(one, news.Called) for one in heard.news) < 100
