"""Errors that cross from one process to another arrive as they were."""

from __future__ import annotations

import pickle

import pytest

from sockwatch.lab.model import LabError
from sockwatch.model import KernelError, SockwatchError


@pytest.mark.parametrize(
    "error", [KernelError("sock_diag: refused", 95), LabError("it is gone"), SockwatchError("no")]
)
def test_an_error_survives_the_way(error: SockwatchError) -> None:
    arrived = pickle.loads(pickle.dumps(error))
    assert (type(arrived), str(arrived)) == (type(error), str(error))
    assert getattr(arrived, "errno", None) == getattr(error, "errno", None)
