from __future__ import annotations

import pytest

from tests.support.worker import can_unshare


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "exhaustive: every pair and long histories, minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the exhaustive tests unless -m asks for them, and the oracle without its rights."""
    asked = "exhaustive" in str(config.getoption("markexpr"))
    allowed = (
        any("kernel_oracle" in getattr(i, "fixturenames", ()) for i in items) and can_unshare()
    )
    for item in items:
        if item.get_closest_marker("exhaustive") and not asked:
            item.add_marker(pytest.mark.skip(reason="minutes long: -m exhaustive"))
        if "kernel_oracle" in getattr(item, "fixturenames", ()) and not allowed:
            item.add_marker(pytest.mark.skip(reason="needs root, for a network namespace"))


@pytest.fixture(scope="session")
def kernel_oracle() -> None:
    """The test asks the running kernel, in a network namespace of its own."""
