"""`sockwatch free` with real managers: units stopped in systemd, containers by their runtime."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sockwatch.cli.exit_codes import ExitCode
from tests.support.beds import Bed, bed, docker, dockerd, podman
from tests.support.beds_systemd import (
    REPOSITORY,
    SYSTEM_UNITS,
    UID,
    USER_UNITS,
    Machine,
    machine,
)
from tests.support.schemas import read_document
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(120)
SERVER = "/usr/bin/busybox httpd -f -p"
AT_ONCE = ("--stop-timeout", "0")  # as the first process it does not see SIGTERM


@pytest.fixture(scope="module")
def host() -> Iterator[Machine]:
    with machine() as booted:
        yield booted


def free(host: Machine | Bed, *arguments: str, code: int = ExitCode.YES) -> Any:
    """The document of the command, which agrees to the plan."""
    words = (sys.executable, "-m", "sockwatch", "free", "--yes", "--json", *arguments)
    done = host.run("env", f"PYTHONPATH={REPOSITORY}", *words, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return read_document(done.stdout, "free")


def commands(document: Any) -> list[str]:
    return [step["command"] for step in document["steps"]]


def start(host: Machine, name: str, command: str, *lines: str, uid: int = 0) -> None:
    """A service that is started again whenever it ends, and listens."""
    folder = host.root / (USER_UNITS if uid else SYSTEM_UNITS)
    folder.mkdir(parents=True, exist_ok=True)
    text = ("[Service]", f"ExecStart={command}", "Restart=always", *lines, "")
    (folder / f"{name}.service").write_text("\n".join(text))
    host.systemctl("daemon-reload", uid=uid)
    host.systemctl("start", f"{name}.service", uid=uid)


def wait_for_server(host: Machine | Bed, port: int) -> None:
    command = ("ss", "-tlnH", "sport", "=", str(port))
    wait_until(lambda: host.run(*command).stdout, lambda: f"nobody listens on {port}", pause_s=0.1)


def test_a_unit_that_is_always_started_again(host: Machine) -> None:
    start(host, "again", f"{SERVER} 8080")
    wait_for_server(host, 8080)
    document = free(host, "8080")
    assert commands(document) == ["systemctl stop again.service"]
    assert document["after"]["bind"] == "ok"
    assert host.systemctl("is-active", "again.service", check=False).strip() != "active"


def test_what_a_unit_starts_again_is_noticed(host: Machine) -> None:
    """The main process is a shell, and nobody can tell it from one that runs jobs."""
    start(host, "wrapped", f"/bin/sh -c '{SERVER} 8081; :'")
    wait_for_server(host, 8081)
    document = free(host, "8081", code=ExitCode.NO)
    assert [step["kind"] for step in document["steps"]] == ["signal"]
    assert "wrapped.service may start it again" in document["steps"][0]["risk"]
    (came_back,) = [each for each in document["events"] if each["kind"] == "came-back"]
    assert came_back["text"].endswith("it was started again, as wrapped.service")
    host.systemctl("stop", "wrapped.service")


def test_a_socket_unit_with_its_service(host: Machine) -> None:
    host.pair("passed", "ListenStream=127.0.0.1:8082")
    host.systemctl("start", "passed.service")
    document = free(host, "127.0.0.1:8082")
    assert commands(document) == ["systemctl stop passed.socket passed.service"]
    assert not host.run("ss", "-tlnH", "sport", "=", "8082").stdout


def test_a_unit_of_a_user(host: Machine) -> None:
    host.systemctl("start", f"user@{UID}", check=False)
    if host.systemctl("is-active", f"user@{UID}", check=False).strip() != "active":
        pytest.skip("a user's systemd does not start without libpam-systemd and dbus-user-session")
    start(host, "mine", f"{SERVER} 8083", uid=UID)
    wait_for_server(host, 8083)
    document = free(host, "8083")
    assert commands(document) == [f"systemctl --user --machine={UID}@ stop mine.service"]
    assert host.systemctl("is-active", "mine.service", uid=UID, check=False).strip() != "active"


def test_the_first_process_stays(host: Machine) -> None:
    """A socket unit by which people log in."""
    host.pair("ssh", "ListenStream=127.0.0.1:8084")
    document = free(host, "127.0.0.1:8084", code=ExitCode.NO)
    assert not document["steps"]
    assert [refusal["code"] for refusal in document["refusals"]] == ["protected"]
    assert host.systemctl("is-active", "ssh.socket").strip() == "active"


def runs(container: Any) -> bool:
    return Path(f"/proc/{container.pid}").exists()


def test_a_published_port_and_one_in_the_container_itself() -> None:
    with bed() as within:
        other = podman(within, "other", *AT_ONCE, publish="127.0.0.1:18081:8080")
        web = podman(within, "web2", *AT_ONCE, publish="127.0.0.1:18080:8080")
        own = podman(within, "web3", *AT_ONCE, "--network", "host", port=18082)
        assert commands(free(within, "127.0.0.1:18080")) == ["podman stop web2"]
        assert not runs(web)
        wait_for_server(within, 18082)
        assert commands(free(within, "18082")) == [f"podman stop {own.id}"]
        assert not runs(own)
        assert runs(other)


def test_docker() -> None:
    with bed() as within, dockerd(within):
        other = docker(within, "other", *AT_ONCE, publish="127.0.0.1:18081:8080")
        web = docker(within, "web2", *AT_ONCE, publish="127.0.0.1:18080:8080")
        assert commands(free(within, "127.0.0.1:18080")) == ["docker stop web2"]
        assert not runs(web)
        assert runs(other)
