"""The ways to be told of a failing call, and to type the commands that are printed then."""

from __future__ import annotations

import os
from itertools import islice
from typing import Final

from tests.stage import actors, calls, product
from tests.stage.places import Ran, Stage, run
from tests.stage.situation import Situation, nothing


class Way:
    """One of them. `watches`: every failure of the whole host is seen, those of A are picked."""

    name: str
    watches = False

    def shows(self, situation: Situation) -> bool:
        """Whether this way can show the situation."""
        raise NotImplementedError

    def ask(self, stage: Stage, situation: Situation) -> product.Document:
        """What is printed, as JSON."""
        raise NotImplementedError

    def type(self, stage: Stage, command: str) -> Ran:
        """Type a command where that was read."""
        raise NotImplementedError


class InTheContainer(Way):
    """`sockwatch why` in the container, and its commands there."""

    name = "in-the-container"

    def shows(self, situation: Situation) -> bool:
        return not situation.failures_only

    def ask(self, stage: Stage, situation: Situation) -> product.Document:
        return stage.a.do(product.why, situation.call, situation.asked_by)

    def type(self, stage: Stage, command: str) -> Ran:
        return stage.a.do(run, "sh", "-c", command)


class InItsNetwork(Way):
    """By `ip netns exec` or nsenter: the processes and files are those of the host."""

    name = "in-its-network-from-the-host"

    def shows(self, situation: Situation) -> bool:
        return not situation.failures_only and not situation.asked_by

    def ask(self, stage: Stage, situation: Situation) -> product.Document:
        return product.why(situation.call, 0, stage.a.pid)

    def type(self, stage: Stage, command: str) -> Ran:
        return run("nsenter", "-t", str(stage.a.pid), "-n", "sh", "-c", command)


class OnTheHost(Way):
    """`sockwatch failures` on the host, and its commands there."""

    name = "watched-on-the-host"
    watches = True

    def shows(self, situation: Situation) -> bool:
        return not situation.why_only and not situation.asked_by

    def ask(self, stage: Stage, situation: Situation) -> product.Document:
        inode = os.stat(f"/proc/{stage.a.pid}/ns/net").st_ino
        # With a parent of its own, or it would be of one start with the server.
        failing = ("shell", actors.start, "failing", calls.fail, situation.fails, situation.call)
        with product.failures() as watch:
            if situation.meanwhile is nothing:
                stage.a.do(actors.start, *failing)
            else:
                with product.paused(watch.pid):
                    stage.a.do(actors.start, *failing)
                    stage.a.do(situation.meanwhile)
            here = (d for d in watch.documents if (d["netns"] or {}).get("inode") == inode)
            return next(islice(here, situation.failures - 1, None))

    def type(self, _: Stage, command: str) -> Ran:
        return run("sh", "-c", command)


WAYS: Final = (InTheContainer(), InItsNetwork(), OnTheHost())
