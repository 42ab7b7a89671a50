"""Namespaces come and go while all of them are looked at."""

from __future__ import annotations

import os
import socket
from collections import deque
from contextlib import closing, suppress
from functools import partial
from typing import NamedTuple

import pytest

from sockwatch.kernel.netns.catalogue import NetnsCatalogue, NetnsGone
from sockwatch.kernel.netns.handles import namespace_id
from sockwatch.kernel.netns.reader import NetnsReader
from tests.support.child import in_child
from tests.support.fds import open_fds
from tests.support.netns import enter_new_netns, netns_inode
from tests.support.netns_kinds import OWN
from tests.support.privilege import needs_btf, needs_root
from tests.support.waiting import wait_until

COUNT = 200
AT_ONCE = 5
EACH_LOOK = 4


class Made(NamedTuple):
    inode: int
    id: int | None


class Churn:
    """A process that makes namespaces, each kept for a while by itself, by an fd or by a socket.

    It goes on by EACH_LOOK of them each time that it is asked what it has made so far.
    """

    def __init__(self) -> None:
        self.made: set[Made] = set()
        self._answers, answer = os.pipe()
        question, self._questions = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(self._questions)
                _come_and_go(question, answer)
            finally:
                os._exit(0)
        os.close(answer)
        os.close(question)

    def goes_on(self) -> bool:
        """Whether there will be more; `made` is as of now, and the process makes others."""
        with suppress(BrokenPipeError):
            os.write(self._questions, b"?")
        for line in os.read(self._answers, 1 << 12).splitlines():
            inode, identity = map(int, line.split())
            self.made.add(Made(inode, identity or None))
        return len(self.made) < COUNT

    def end(self) -> None:
        os.close(self._answers)
        os.close(self._questions)
        os.waitpid(self._pid, 0)


def _come_and_go(question: int, answer: int) -> None:
    kept = deque([lambda: None] * AT_ONCE)
    for number in range(COUNT):
        if number % EACH_LOOK == 0:
            os.read(question, 1)
        enter_new_netns()
        fd = os.open(OWN, os.O_RDONLY)
        os.write(answer, b"%d %d\n" % (netns_inode(), namespace_id(fd) or 0))
        if number % 2:
            kept.append(partial(os.close, fd))
        else:
            kept.append(socket.create_server(("127.0.0.1", 0)).close)
            os.close(fd)
        kept.popleft()()


@needs_root
@needs_btf
@pytest.mark.timeout(120)
def test_none_is_kept_and_none_stays_in_the_answer() -> None:
    def body() -> None:
        churn = Churn()
        visits, open_after = 0, []
        with NetnsCatalogue() as catalogue, closing(NetnsReader(catalogue)) as reader:
            while churn.goes_on():
                for netns in catalogue.namespaces(max_age_s=0):
                    if netns.inode is None or Made(netns.inode, netns.id) not in churn.made:
                        continue
                    with suppress(NetnsGone), catalogue.opened(netns):
                        visits += 1
                    with suppress(NetnsGone):
                        reader.take(netns.inode, (), None)
                open_after.append(open_fds().keys())
            churn.end()

            def stale() -> set[Made]:
                listed = {
                    Made(netns.inode or 0, netns.id) for netns in catalogue.namespaces(max_age_s=0)
                }
                return listed & churn.made

            wait_until(lambda: not stale())
            assert visits > COUNT // EACH_LOOK
            assert open_after[-1] == open_after[len(open_after) // 2]

    in_child(body)
