"""Published ports of real containers: who has them, and what frees them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.beds import Bed, bed, docker, dockerd, podman
from tests.support.beds_rootless import HOME, UID, USER, RootlessUser
from tests.support.tools import need
from tests.support.waiting import wait_until

PORT = 18080
AT_ONCE = ("--stop-timeout", "0")  # as the first process it does not see SIGTERM


def why(within: Bed, *arguments: str) -> Any:
    done = within.run(
        sys.executable, "-m", "sockwatch", "why", f"127.0.0.1:{PORT}", "--json", *arguments,
        check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def page(within: Bed) -> str:
    done = within.run(sys.executable, "-m", "sockwatch", f"127.0.0.1:{PORT}", check=False)
    return " ".join(done.stdout.split())


def all_named(answer: dict[str, Any]) -> dict[str, Any] | None:
    """The answer, if it says which container it is; a busy machine may leave no time for that."""
    known = all(each["container"] for each in answer["publications"])
    return answer if answer["publications"] and known else None


def check_and_stop(within: Bed, name: str, identity: str, runtime: str, port: int | None) -> str:
    """The port is published by that container alone; the one command that is printed frees it."""
    answer = wait_until(lambda: all_named(why(within)))
    assert answer["bind"] == "EADDRINUSE"
    places = {
        (each["container"]["name"], each["container"]["id"], each["runtime"], each["port"])
        for each in answer["publications"]
    }
    assert places == {(name, identity, runtime, port)}
    told = f", container port {port}" if port else ""
    assert f"published by container {name}{told}" in answer["cause"]["text"]
    # A busy machine leaves no time for what is bound in other namespaces.
    assert {gap["code"] for gap in answer["gaps"]} <= {"netns-unread"}
    assert f"-> {name}{f':{port}' if port else ''} ({runtime})" in page(within)
    (command,) = (fix["command"] for fix in answer["fixes"] if fix["command"])
    within.run("sh", "-c", command)
    wait_until(lambda: why(within)["bind"] == "ok", lambda: why(within), pause_s=0.1)
    return str(command)


def test_podman() -> None:
    with bed() as within:
        other = podman(within, "other", *AT_ONCE, publish="127.0.0.1:18081:8080")
        web = podman(within, "web2", *AT_ONCE, publish=f"127.0.0.1:{PORT}:8080")
        command = check_and_stop(within, "web2", web.id, "podman", 8080)
        assert command == "podman stop web2"
        assert Path(f"/proc/{other.pid}").exists()


def test_a_container_that_has_got_the_name_of_another() -> None:
    with bed() as within:
        web = podman(within, "web2", *AT_ONCE, publish=f"127.0.0.1:{PORT}:8080")
        within.run("podman", "rename", "web2", "old")
        other = podman(within, "web2", publish="127.0.0.1:18081:8080")
        assert check_and_stop(within, "old", web.id, "podman", 8080) == "podman stop old"
        assert Path(f"/proc/{other.pid}").exists()


@pytest.mark.whole_host  # the containers of another bed have the same addresses
@pytest.mark.parametrize("proxy", ["true", "false"])
def test_docker(proxy: str) -> None:
    with bed() as within, dockerd(within, f"--userland-proxy={proxy}"):
        other = docker(within, "other", publish="18081:8080")
        web = docker(within, "web3", *AT_ONCE, publish=f"{PORT}:8080")
        answer = why(within)
        holder = "docker-proxy" if proxy == "true" else "dockerd"
        assert {each["name"] for each in answer["holders"]} == {holder}
        command = check_and_stop(within, "web3", web.id, "docker", 8080)
        assert command == "docker stop web3"
        assert Path(f"/proc/{other.pid}").exists()


def test_rootless_podman() -> None:
    with bed() as within:
        user = RootlessUser(within)
        web = user.podman("web4", f"127.0.0.1:{PORT}:8080")
        command = check_and_stop(within, "web4", web.id, "podman", None)
        assert command == f"runuser -l {USER} -c 'podman stop {web.id}'"


def by_pasta(within: Bed) -> subprocess.Popen[bytes]:
    need("pasta")
    within.run(
        "sh", "-c",
        "ip link add v0 type veth peer name v1; ip address add 10.7.0.1/24 dev v0;"
        "ip link set v0 up; ip link set v1 up; ip route add default via 10.7.0.2",
    )  # fmt: skip
    return within.start(
        "pasta", "-f", "-t", f"{PORT}:8080", "-u", "none", "-T", "none", "-U", "none", "--",
        "/bin/busybox", "sleep", "1000",
    )  # fmt: skip


def by_rootlesskit(within: Bed) -> subprocess.Popen[bytes]:
    need("rootlesskit")
    return RootlessUser(within).start(
        "rootlesskit", "--net=slirp4netns", "--disable-host-loopback", "--port-driver=builtin",
        "-p", f"127.0.0.1:{PORT}:8080/tcp", "/bin/busybox", "sleep", "1000",
    )  # fmt: skip


@contextmanager
def killed(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()


@pytest.mark.parametrize("start", [by_pasta, by_rootlesskit])
def test_what_serves_no_container(start: Callable[[Bed], subprocess.Popen[bytes]]) -> None:
    with bed() as within, start(within) as publisher, killed(publisher):
        runtime = start.__name__.removeprefix("by_")
        wait_until(lambda: why(within)["bind"] == "EADDRINUSE", pause_s=0.1)
        answer = why(within)
        assert answer["cause"]["id"] == "container-runtime"
        assert {(each["runtime"], each["port"]) for each in answer["publications"]} == {
            (runtime, 8080)
        }
        assert all(each["container"] is None for each in answer["publications"])
        assert not any(fix["command"] for fix in answer["fixes"])
        assert not [gap for gap in answer["gaps"] if gap["code"] == "container-unknown"]
        assert f"-> port 8080 ({runtime})" in page(within)


IMPOSTOR = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
os.set_inheritable(listener.fileno(), True)
os.setresgid(int(sys.argv[2]), int(sys.argv[2]), int(sys.argv[2]))
os.setresuid(int(sys.argv[2]), int(sys.argv[2]), int(sys.argv[2]))
os.execv(sys.argv[3], sys.argv[3:])
"""


@pytest.mark.parametrize("program", ["docker-proxy", "conmon"])
def test_what_a_user_pretends_counts_for_that_user_alone(program: str) -> None:
    with bed() as within:
        RootlessUser(within)
        web = podman(within, "web2", publish="127.0.0.1:18081:8080")
        shell = f"{HOME}/{program}"
        within.run("cp", "/bin/sh", shell)
        words = {
            "docker-proxy": ("-container-ip", "10.88.0.2", "-container-port", "8080"),
            "conmon": ("-c", web.id, "-n", "web2", "--exit-command", "/usr/bin/podman"),
        }[program]
        wait = ("-c", f"mkfifo {HOME}/fifo; read x <{HOME}/fifo")  # the words are its arguments
        impostor = within.start(
            sys.executable, "-c", IMPOSTOR, str(PORT), str(UID), shell, *wait, *words
        )
        with impostor, killed(impostor):
            wait_until(
                lambda: why(within)["bind"] == "EADDRINUSE" and holder(within) == program,
                lambda: why(within),
                pause_s=0.1,
            )
            answer = why(within)
            commands = [fix["command"] for fix in answer["fixes"] if fix["command"]]
            assert not [command for command in commands if "stop" in command]
            if program == "docker-proxy":
                assert "container-unknown" in {gap["code"] for gap in answer["gaps"]}
                assert answer["publications"][0]["container"] is None
            else:
                assert answer["publications"][0]["container"]["manager_uid"] == UID


def holder(within: Bed) -> str:
    return str(why(within)["holders"][0]["name"])
