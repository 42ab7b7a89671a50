from __future__ import annotations

import pytest

from sockwatch.lab.model import LabError, ServerSpec
from sockwatch.lab.prediction import predict_restart
from tests.support import build


def test_what_is_not_there_cannot_be_restarted() -> None:
    left = build.port(10013, groups=(build.group("TIME_WAIT", "127.0.0.1", 2),))
    for ports in ([], [left]):
        with pytest.raises(LabError, match="no server is on port 10013"):
            predict_restart(ServerSpec(), build.snapshot(ports))
