"""A stage for each test that wants one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sockwatch.lab.model import LabError
from sockwatch.lab.stage import Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    try:
        made = Stage()
    except LabError as error:
        pytest.skip(str(error))
    with made:
        yield made
