"""How it is said what a process belongs to."""

from __future__ import annotations

import pytest

from sockwatch.model import Origin
from sockwatch.view.names import origin_text, short_origin
from sockwatch.view.who import process_facts
from tests.support.build import NOW, process

ID = "a1" * 32
UNIT = Origin("unit", "", "nginx.service", "cgroup")
POD = Origin("pod", "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0", "shop/cart-0", "cgroup")
WEB2 = Origin("podman", ID, "web2", "command line")


@pytest.mark.parametrize(
    ("origin", "text", "short"),
    [
        (UNIT, "nginx.service", "nginx.service"),
        (UNIT._replace(manager_uid=1000), "nginx.service of uid 1000", "nginx.service"),
        (WEB2, "container web2 (podman)", "web2"),
        (WEB2._replace(manager_uid=1000), "container web2 (podman of uid 1000)", "web2"),
        (WEB2._replace(name=None), f"container {ID[:12]} (podman)", ID[:12]),
        (WEB2._replace(kind="container", name=None), f"container {ID[:12]}", ID[:12]),
        (POD, "pod shop/cart-0", "shop/cart-0"),
        (
            Origin("containerd", ID, "cart", "cgroup", outer=POD),
            "pod shop/cart-0, container cart (containerd)",
            "shop/cart-0 cart",
        ),
        (
            Origin("containerd", ID, None, "cgroup", outer=POD._replace(outer=WEB2)),
            f"pod shop/cart-0 in container web2 (podman), container {ID[:12]} (containerd)",
            f"shop/cart-0 in web2 {ID[:12]}",
        ),
        (
            UNIT._replace(outer=WEB2),
            "nginx.service in container web2 (podman)",
            "nginx.service in web2",
        ),
        (
            UNIT._replace(manager_uid=1000, outer=WEB2._replace(manager_uid=1000)),
            "nginx.service in container web2 (podman of uid 1000)",
            "nginx.service in web2",
        ),
        (Origin("session", "session-3.scope", "3", "cgroup"), "session 3", "session-3.scope"),
        (Origin("snap", "snap.lxd.daemon.service", "lxd.daemon", "cgroup"), "snap lxd.daemon",
         "snap.lxd.daemon.service"),
        (Origin("machine", "", "db", "cgroup"), "machine db", "db"),
    ],
)  # fmt: skip
def test_words(origin: Origin, text: str, short: str) -> None:
    assert origin_text(origin) == text
    assert short_origin(origin) == short
    holder = process(7, "nginx")._replace(origin=origin)
    assert process_facts(holder, NOW).endswith(f"   up 3 d   {text}")


@pytest.mark.parametrize(
    ("origin", "unit", "container"),
    [
        (UNIT, "nginx.service", None),
        (WEB2, None, ID[:12]),
        (UNIT._replace(outer=WEB2), None, ID[:12]),
        (WEB2._replace(outer=UNIT), None, ID[:12]),
        (Origin("lxc", "", "web", "cgroup"), None, "web"),
        (Origin("session", "session-3.scope", "3", "cgroup"), "session-3.scope", None),
        (POD, None, None),
        (None, None, None),
    ],
)
def test_unit_and_container(origin: Origin | None, unit: str | None, container: str | None) -> None:
    holder = process(7, "nginx")._replace(origin=origin)
    assert (holder.unit, holder.container) == (unit, container)
