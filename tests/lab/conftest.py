"""A sandbox for each test that wants one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sockwatch.lab.model import LabError
from sockwatch.lab.sandbox import Sandbox


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    try:
        made = Sandbox()
    except LabError as error:
        pytest.skip(str(error))
    with made:
        yield made
