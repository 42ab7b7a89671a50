"""A container of root's, as an ordinary user sees it."""

from __future__ import annotations

import pytest

from sockwatch.kernel.netns import unprivileged
from sockwatch.kernel.netns.unprivileged import UnprivilegedReader
from sockwatch.model import Snapshot
from tests.support.beds import bed, podman
from tests.support.child import become, in_child
from tests.support.user import UID

pytestmark = pytest.mark.timeout(120)


def test_a_container_of_podman(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unprivileged, "NEW_S", 30)

    def look() -> list[Snapshot]:
        become(UID)
        with UnprivilegedReader() as reader:
            return reader.take(())[0]

    with bed() as inside:
        container = podman(inside, "web2")
        snapshots = in_child(look)
    (snapshot,) = (each for each in snapshots if each.netns.pid == container.pid)
    assert snapshot.netns.label == "container web2"
    assert snapshot.netns.inode is None
    port = snapshot.port("tcp", 8080)
    assert port is not None
    assert port.states == {"LISTEN": 1}
