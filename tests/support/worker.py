"""Children in a network namespace of their own that answer what they are sent."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import Pipe
from typing import TYPE_CHECKING, Any, TypeVar

from tests.support.netns import enter_new_netns, set_ipv4_sysctl
from tests.support.privilege import REAL_ROOT

if TYPE_CHECKING:
    from typing_extensions import Self

Item = TypeVar("Item")
Result = TypeVar("Result")


def can_unshare() -> bool:
    """Whether this process may make network namespaces and sockets of another user."""
    try:
        with Worker(lambda: lambda question: question) as worker:
            return REAL_ROOT and worker.ask(question=True) is True
    except AssertionError:
        return False


def run_in_netns(
    function: Callable[[Sequence[Item]], list[Result]],
    chunks: Sequence[Sequence[Item]],
    workers: int = 2,
) -> list[Result]:
    """function(chunk) for every chunk, each in a child with a namespace of its own."""
    results: list[Result] = []
    waiting = list(chunks)
    running: list[Worker] = []
    while waiting or running:
        while waiting and len(running) < workers:
            running.append(Worker(lambda: function))
            running[-1].send(waiting.pop(0))
        with running.pop(0) as worker:
            results += worker.receive()
    return results


class Worker:
    """A forked child in a new network namespace with room for many sockets.

    `prepare` runs in the child and returns the function that answers questions.
    """

    def __init__(self, prepare: Callable[[], Callable[[Any], Any]]) -> None:
        self._pipe, theirs = Pipe()
        self._pid = os.fork()
        if self._pid:
            theirs.close()
            return
        try:
            self._pipe.close()
            self._serve(theirs, prepare)
        finally:
            os._exit(0)

    @staticmethod
    def _serve(pipe: Any, prepare: Callable[[], Callable[[Any], Any]]) -> None:
        try:
            enter_new_netns()
            set_ipv4_sysctl("ip_local_port_range", "1024 65000")
            set_ipv4_sysctl("tcp_max_tw_buckets", "100000")
            answer = prepare()
            # No end-of-file would come: later workers inherit the parent's end of the pipe.
            while (question := pipe.recv()) is not None:
                pipe.send((True, answer(question)))
        except BaseException:  # noqa: BLE001 - it is raised again in the parent
            pipe.send((False, traceback.format_exc()))

    def send(self, question: Any) -> None:
        """Ask without waiting; None ends the child."""
        with contextlib.suppress(BrokenPipeError):  # receive() says why
            self._pipe.send(question)

    def receive(self) -> Any:
        """The answer to the oldest question; AssertionError if the child has failed."""
        succeeded, value = self._pipe.recv()
        if not succeeded:
            raise AssertionError(value)
        return value

    def ask(self, question: Any) -> Any:
        """Send the question and wait for its answer."""
        self.send(question)
        return self.receive()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.send(None)
        self._pipe.close()
        os.waitpid(self._pid, 0)
