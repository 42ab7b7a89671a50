from __future__ import annotations

from collections.abc import Callable
from typing import cast

from sockwatch.lab.model import SystemCall
from sockwatch.lab.sandbox import Sandbox
from sockwatch.lab.session import Session
from sockwatch.model import Snapshot
from tests.support import build


class Closing:
    """A sandbox on a busy host: a connection is in the next state at each look."""

    on_call: Callable[[SystemCall], None]

    def __init__(self, *states: str) -> None:
        self._states = iter(states)

    def take_snapshot(self, _: int | None) -> Snapshot:
        return build.snapshot([build.port(10013)._replace(states={next(self._states): 1})])


def test_what_is_predicted_is_not_about_a_state_of_a_moment() -> None:
    sandbox = Closing("ESTABLISHED")
    (port,) = Session(cast("Sandbox", sandbox)).look(10013).ports
    assert port.states == {"ESTABLISHED": 1}
    sandbox = Closing("FIN_WAIT1", "FIN_WAIT1", "FIN_WAIT2")
    (port,) = Session(cast("Sandbox", sandbox)).look(10013).ports
    assert port.states == {"FIN_WAIT2": 1}
