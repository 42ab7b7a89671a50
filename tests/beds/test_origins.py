"""Real containers by name: as the runtime of each has written it down, and as sockwatch says it."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from sockwatch.kernel.origin import of_process
from sockwatch.model import Origin
from tests.support.beds import Bed, bed, docker, dockerd, nspawn, podman

PORT = "8080"
pytestmark = pytest.mark.timeout(120)


def origin_in(within: Bed, pid: int) -> Origin | None:
    """What of_process() answers in the bed, whose /var/lib is another than ours."""
    code = f"import json, sockwatch.kernel.origin as o; print(json.dumps(o.of_process({pid})))"
    return _origin(json.loads(within.run(sys.executable, "-c", code).stdout))


def _origin(values: list[Any] | None) -> Origin | None:
    return None if values is None else Origin._make([*values[:-1], _origin(values[-1])])


def page_in(within: Bed) -> str:
    """The answer about the port, in one line."""
    done = within.run(sys.executable, "-m", "sockwatch", PORT, check=False)
    return " ".join(done.stdout.split())


def holder_of(within: Bed) -> dict[str, Any]:
    """The first holder of the port in JSON."""
    done = within.run(sys.executable, "-m", "sockwatch", "why", PORT, "--json", check=False)
    holder: dict[str, Any] = json.loads(done.stdout)["holders"][0]
    return holder


def test_podman() -> None:
    with bed() as inside:
        container = podman(inside, "web2", "--network", "host")
        origin = origin_in(inside, container.pid)
        assert origin is not None
        assert (origin.kind, origin.id, origin.name) == ("podman", container.id, "web2")
        assert origin.known_by == "/var/lib/containers/storage/vfs-containers/containers.json"
        holder = holder_of(inside)
        assert holder["container"] == container.id[:12]
        assert holder["unit"] is None
        assert holder["origin"]["name"] == "web2"
        assert "container web2 (podman)" in page_in(inside)
        # Here nothing but the command line of its conmon is to be had.
        assert of_process(container.pid) == origin._replace(known_by="command line")


@pytest.mark.parametrize("data_root", ["/var/lib/docker", "/var/lib/elsewhere"])
def test_docker(data_root: str) -> None:
    with bed() as inside, dockerd(inside, data_root=data_root):
        container = docker(inside, "web2", "--network", "host")
        origin = origin_in(inside, container.pid)
        file = f"{data_root}/containers/{container.id}/config.v2.json"
        assert origin == Origin("docker", container.id, "web2", file)
        assert holder_of(inside)["origin"]["name"] == "web2"
        hide = 'mount -t tmpfs none /var/lib && exec "$0" -m sockwatch ports --json'
        ports = json.loads(inside.run("unshare", "-m", "sh", "-c", hide, sys.executable).stdout)
        assert [gap["code"] for gap in ports["gaps"]] == ["containers-unnamed"]
        assert "1 container or pod" in ports["gaps"][0]["text"]
        # Seen from here, its files are not those of our own daemon.
        assert of_process(container.pid) == Origin("docker", container.id, None, "cgroup")


def test_nspawn() -> None:
    with bed() as inside, nspawn(inside, "web2") as container:
        unit = Origin("unit", "", "systemd-nspawn@web2.service", "cgroup")
        origin = origin_in(inside, container.pid)
        assert origin == Origin("nspawn", "", "web2", "cgroup", outer=unit)
        holder = holder_of(inside)
        assert (holder["container"], holder["unit"]) == ("web2", None)
        assert "container web2 (nspawn) in systemd-nspawn@web2.service" in page_in(inside)
