"""The beds themselves: what runs in one is seen by its port, and goes with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.beds import bed, docker, dockerd, podman
from tests.support.waiting import wait_until

GET = ("busybox", "wget", "-q", "-O", "-")


def test_nothing_is_left_of_a_bed() -> None:
    with bed() as inside:
        server = inside.start("busybox", "httpd", "-f", "-p", "127.0.0.1:8080")
        wait_until(lambda: inside.run(*GET, "http://127.0.0.1:8080/", check=False).stderr)
        assert os.readlink(f"/proc/{inside.pid}/ns/net") != os.readlink("/proc/self/ns/net")
    assert server.wait() < 0
    assert not inside.cgroup.exists()


@pytest.mark.timeout(120)
def test_a_container_of_podman() -> None:
    with bed() as inside:
        container = podman(inside, "web")
        assert container.id in Path(f"/proc/{container.pid}/cgroup").read_text()
    assert not inside.cgroup.exists()


@pytest.mark.timeout(120)
def test_a_container_of_docker() -> None:
    with bed() as inside, dockerd(inside):
        container = docker(inside, "web", publish="127.0.0.1:18080:8080")
        assert container.id in Path(f"/proc/{container.pid}/cgroup").read_text()
        assert "404" in inside.run(*GET, "http://127.0.0.1:18080/", check=False).stderr
    assert not inside.cgroup.exists()
