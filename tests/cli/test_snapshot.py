"""sockwatch snapshot, and what reads it: --from a file or a pipe."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sockwatch.cli.exit_codes import ExitCode
from sockwatch.export.carried import Carried, carried_document
from sockwatch.model import HostSnapshot
from tests.support import build
from tests.support.schemas import read_document

COMMAND = [sys.executable, "-m", "sockwatch"]
READ_BY = (["why", "8080"], ["8080"], ["ports"], ["ports", "--json"], ["why", "8080", "--json"])


def run(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, check=False, input=stdin or "",
        timeout=60,
    )  # fmt: skip


@pytest.fixture
def listener(netns: None) -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 8080))
        sock.listen(7)
        yield sock


@pytest.fixture
def web_1(tmp_path: Path) -> Path:
    """A document of the host web-1, of some time ago."""
    path = tmp_path / "web-1.json"
    seen = HostSnapshot((build.snapshot(build.web_host()),))
    path.write_text(carried_document(Carried(seen, "0.1.0")))
    return path


def test_one_line_that_matches_its_schema(listener: socket.socket) -> None:
    done = run("snapshot")
    assert (done.returncode, done.stderr) == (ExitCode.YES, "")
    assert done.stdout.count("\n") == 1
    document = read_document(done.stdout, "snapshot")
    assert 8080 in [port["number"] for port in document["snapshots"][0]["ports"]]


def test_a_port_has_what_surrounds_it(listener: socket.socket) -> None:
    document = read_document(run("snapshot", "8080").stdout, "snapshot")
    assert document["snapshots"][0]["only_port"] == 8080
    assert document["processes"][0]["cwd"] == os.getcwd()


def test_all_namespaces(listener: socket.socket) -> None:
    done = run("snapshot", "--all-netns")
    document = read_document(done.stdout, "snapshot")
    assert document["all_netns"] is True
    table = run("--from", "-", "ports", "8080", "--all-netns", stdin=done.stdout)
    assert (table.returncode, "8080" in table.stdout) == (ExitCode.YES, True)


def test_the_answer_is_that_of_the_host_itself(listener: socket.socket) -> None:
    here = json.loads(run("why", "8080", "--json").stdout)
    there = json.loads(
        run("--from", "-", "why", "8080", "--json", stdin=run("snapshot").stdout).stdout
    )
    same = ("bind", "listen", "matrix", "reason", "conditions", "restart", "kernel")
    assert there["cause"]["id"] == here["cause"]["id"]  # its evidence has an age
    assert {name: there[name] for name in same} == {name: here[name] for name in same}
    assert [b["address"] for b in there["blockers"]] == [b["address"] for b in here["blockers"]]


def test_every_so_often(listener: socket.socket) -> None:
    with subprocess.Popen(
        [*COMMAND, "snapshot", "--every", "0.1"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        documents = [read_document(process.stdout.readline(), "snapshot") for _ in range(3)]
        process.stdout.close()  # the reader goes away
        assert process.wait(30) == -signal.SIGPIPE
    times = [document["snapshots"][0]["time"] for document in documents]
    assert times == sorted(set(times))


@pytest.mark.parametrize("arguments", READ_BY)
def test_the_host_is_named(web_1: Path, arguments: list[str]) -> None:
    done = run("--from", str(web_1), *arguments)
    assert done.returncode in (ExitCode.YES, ExitCode.NO)
    assert done.stderr.startswith("sockwatch: on web-1, ")
    assert "by sockwatch 0.1.0\n" in done.stderr


def test_each_command_to_type_is_for_that_host(web_1: Path) -> None:
    document = json.loads(run("--from", str(web_1), "why", "8080", "--json").stdout)
    assert document["fixes"]
    assert all(fix["text"].startswith("on web-1, ") for fix in document["fixes"])
    assert run("8080", "--from", str(web_1)).stdout.startswith("on web-1, 8080/tcp is held by")


def test_of_several_documents_the_first_counts(web_1: Path) -> None:
    text = web_1.read_text()
    done = run("--from", "-", "ports", stdin=f"\n{text}{text}")
    assert "gunicorn" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "message"),
    [
        (["--from", "-", "ports"], "", 3, "nothing came on standard input"),
        (["--from", "-", "ports"], "{}", 3, "no document of sockwatch snapshot"),
        (["--from", "-", "ports"], "motd", 3, "which is one line of JSON: 'motd'"),
        (["--from", "-", "ports"], '{"document":"snap', 3, "the document is cut off"),
        (["--from", "/nowhere", "ports"], "", 2, "--from /nowhere: No such file or directory"),
        (["--from", "/", "ports"], "", 3, "cannot read the document: Is a directory"),
        (["--from", "x", "--host", "y", "ports"], "", 2, "name two sources; type one"),
        (["--from", "x", "run", "--", "true"], "", 2, "run is for this host"),
        (["--from", "x", "hold", "1"], "", 2, "hold is for this host"),
        (["--host", "x", "failures"], "", 2, "failures is for this host"),
        (["--host", "x", "lab", "list"], "", 2, "lab is for this host"),
        (["--host", "x", "snapshot"], "", 2, "snapshot is for this host"),
        (["--host=-oProxyCommand=id", "ports"], "", 2, "'-oProxyCommand=id' is no host"),
        (["--host=", "ports"], "", 2, "'' is no host"),
        (["--host", "a b", "ports"], "", 2, "'a b' is no host"),
        (["--host-command", "x", "ports"], "", 2, "type --host too"),
        (["--from", "-", "why", "80", "--uid", "daemon"], "", 2, "type the number there"),
        (["--from", "-", "why", "80", "--uid", "root"], "", 3, "nothing came"),
        (["--from", "-", "ports", "--netns", "x"], "", 2, "sockwatch snapshot --netns WHICH"),
        (["snapshot", "0"], "", 2, "'0' is no port from 1 to 65535"),
        (["snapshot", "80", "--all-netns"], "", 2, "PORT asks for less than --all-netns"),
        (["snapshot", "--every", "0"], "", 2, "is not a number of seconds"),
    ],
)
def test_refusals(arguments: list[str], stdin: str, code: int, message: str) -> None:
    done = run(*arguments, stdin=stdin)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def changed(web_1: Path, change: Callable[[dict[str, Any]], None]) -> str:
    document = json.loads(web_1.read_text())
    change(document)
    return json.dumps(document)


def test_hostile_text_reaches_no_terminal(web_1: Path) -> None:
    def spoil(document: dict[str, Any]) -> None:
        document["sockwatch"] = "1\x1b[31m"
        document["snapshots"][0]["host"] = "web\x1b]0;x\x07\u202e" + "x" * 9999
        for process in document["processes"]:
            process |= {"name": "a\x1b[2Jb", "command": "\x9b\n", "user": "\u2028"}

    for arguments in READ_BY:
        done = run("--from", "-", *arguments, stdin=changed(web_1, spoil))
        text = done.stdout + done.stderr
        assert all(c.isprintable() or c == "\n" for c in text)
        assert "bug" not in text


def test_less_than_was_asked_for(listener: socket.socket) -> None:
    document = run("snapshot", "8080").stdout
    assert "of port 8080 alone" in run("--from", "-", "ports", stdin=document).stderr
    done = run("--from", "-", "ports", "8080", "--all-netns", stdin=document)
    assert (done.returncode, "of one network namespace" in done.stderr) == (ExitCode.UNKNOWN, True)
