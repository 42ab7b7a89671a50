from __future__ import annotations

import pytest

from tests.support.worker import can_unshare


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out the oracle where it has not its rights."""
    allowed = (
        any("kernel_oracle" in getattr(i, "fixturenames", ()) for i in items) and can_unshare()
    )
    for item in items:
        if "kernel_oracle" in getattr(item, "fixturenames", ()) and not allowed:
            item.add_marker(pytest.mark.skip(reason="needs root, for a network namespace"))


@pytest.fixture(scope="session")
def kernel_oracle() -> None:
    """The test asks the running kernel, in a network namespace of its own."""
