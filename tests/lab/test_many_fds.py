"""The lab of a program that was started with more than 1,024 open fds: select(2) takes no more."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from sockwatch.lab.model import LabError
from sockwatch.lab.run import Run
from sockwatch.lab.sandbox import Sandbox
from sockwatch.lab.scenario import Scenario, all_scenarios
from sockwatch.lab.session import Session
from sockwatch.readable import readable

MANY = 1100
NAMES = ("restart-plain", "reuseport-group")


@pytest.fixture
def many_fds() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * MANY:
        pytest.skip("the hard limit of open fds is too low")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * MANY), hard))
    with ExitStack() as stack:
        for _ in range(MANY):
            stack.enter_context(open(os.devnull, "rb"))
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_can_be_read(many_fds: None) -> None:
    reader, writer = os.pipe()
    try:
        assert reader > 1023
        assert readable([reader], 0) == []
        os.write(writer, b"1")
        assert readable([reader]) == [reader]
    finally:
        os.close(reader)
        os.close(writer)


def test_the_other_end_is_closed() -> None:
    reader, writer = os.pipe()
    os.close(writer)
    try:
        assert readable([reader]) == [reader]
    finally:
        os.close(reader)


@pytest.mark.parametrize("scenario", [s for s in all_scenarios() if s.name in NAMES])
def test_a_scenario(many_fds: None, scenario: Scenario) -> None:
    try:
        sandbox = Sandbox()
    except LabError as error:
        pytest.skip(str(error))
    with sandbox:
        run = Run(scenario, Session(sandbox))
        while not run.done:
            report = run.next()
            assert report.good, (report.step.text, report.kernel)
