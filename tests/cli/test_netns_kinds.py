"""Other network namespaces that no process lives in, that of the host, and a container's."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from sockwatch.cli.exit_codes import ExitCode
from sockwatch.kernel.host import current_netns
from sockwatch.model import HOST_NAME
from tests.cli import bed as beds
from tests.support.beds import bed as container_bed
from tests.support.beds import podman
from tests.support.child import idle_child
from tests.support.netns import enter_new_netns, netns_inode, setns
from tests.support.schemas import read_document
from tests.support.user import UID

PORT = 8080
LOW = "ip_unprivileged_port_start"


@pytest.fixture
def bed() -> Iterator[beds.Bed]:
    with beds.bed() as made:
        yield made


def why(bed: beds.Bed, *words: str) -> Any:
    return read_document(bed.sockwatch("why", *words, "--json").stdout, "why")


def test_the_host_from_within(bed: beds.Bed) -> None:
    """The command is not carried out: it would change the host."""
    if current_netns().name != HOST_NAME:
        pytest.skip("the tests do not run in the host's network namespace")
    inode = netns_inode()
    document = why(bed, "80", "--uid", str(UID), "--netns", "host")
    assert document["netns"] == document["netns"] | {"inode": inode, "name": "host"}
    assert bed.sockwatch("1", "--netns", "host").stdout.startswith("on the host, 1/tcp")
    for fix in document["fixes"]:
        if LOW in (fix["command"] or ""):
            entry, _, _ = fix["command"].partition(" sysctl ")
            there = bed.run(*shlex.split(entry), "readlink", "/proc/self/ns/net").stdout
            assert there.strip() == f"net:[{inode}]"


@pytest.mark.parametrize("kept_by", ["an fd", "a socket"])
def test_one_that_no_process_lives_in(bed: beds.Bed, kept_by: str) -> None:
    """No command can lead there, so the advice is in words."""
    kept: list[socket.socket] = []
    reader, writer = os.pipe()

    def make() -> None:
        with open("/proc/thread-self/ns/net") as home:
            enter_new_netns()
            listener = socket.create_server(("127.0.0.1", PORT))
            kept.append(listener)
            if kept_by == "an fd":
                os.open("/proc/thread-self/ns/net", os.O_RDONLY)
                listener.close()
            os.write(writer, str(netns_inode()).encode())
            setns(home.fileno())

    with idle_child(make), open(reader, "rb", buffering=0) as numbers:
        os.close(writer)
        number = numbers.read(20).decode()
        document = why(bed, "80", "--uid", str(UID), "--netns", number)
        assert document["netns"]["inode"] == int(number)
        assert document["bind"] == "EACCES"
        (lower,) = (fix for fix in document["fixes"] if "every program" in fix["text"])
        assert lower["command"] is None
        inodes = [each["netns"]["inode"] for each in why(bed, str(PORT))["also_in"]]
        assert (int(number) in inodes) == (kept_by == "a socket")


def test_a_container_by_its_name_and_by_its_id() -> None:
    name = f"web-{os.getpid()}"  # other tests have containers too
    with container_bed() as within:
        web = podman(within, name)
        run = [sys.executable, "-m", "sockwatch"]
        for which in (name, web.id, web.id[:6]):
            done = within.run(*run, str(PORT), "--netns", which, check=False)
            assert done.returncode == ExitCode.NO, done.stderr
            title = done.stdout.splitlines()[0]
            assert title.startswith(f"in container {name} (podman), {PORT}/tcp is held by busybox(")
        done = within.run(*run, "why", str(PORT), "--json", check=False)
        assert done.returncode == ExitCode.YES
        also_in = read_document(done.stdout, "why")["also_in"]
        (origin,) = (each["netns"]["origin"] for each in also_in if each["which"] == name)
        assert (origin["kind"], origin["name"], origin["id"]) == ("podman", name, web.id)
        table = within.run(*run, "ports", "--all-netns", str(PORT), check=False)
        rows = [line.split()[:2] for line in table.stdout.splitlines()]
        assert [name, str(PORT)] in rows
