"""Names and command lines belong to others: none of their bytes acts on a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sockwatch.text import clean

HOSTILE = [
    b"[/x]",
    b"[@click=app.quit]x[/]",
    b"\x1b]0;PWNED\x07",
    b"\x1b[31mred\x1b[0m",
    b"\x9b31mC1",
    b"a\xc2\x9b2Jb",
    "\u202egnp.exe".encode(),
    b"\xff\xfe invalid",
    b"new\nline\ttab\rreturn",
    b"x" * 4096,
]
SERVER = """
import ctypes, socket, sys
ctypes.CDLL(None).prctl(15, bytes.fromhex(sys.argv[1]), 0, 0, 0)
sock = socket.socket()
sock.bind(("127.0.0.1", 8080))
sock.listen()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=HOSTILE)
def server(request: pytest.FixtureRequest, netns: None) -> Iterator[bytes]:
    """A listener on port 8080 whose name and command line hold the hostile bytes."""
    text: bytes = request.param
    command: list[str | bytes] = [sys.executable, "-c", SERVER, text[:15].hex(), text]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield text
        process.stdin.close()


def run(*arguments: str) -> bytes:
    command = [sys.executable, "-m", "sockwatch", "ports", *arguments]
    return subprocess.run(command, capture_output=True, check=True).stdout


def test_the_table_and_the_document(server: bytes) -> None:
    table = run().decode()
    assert len(table.splitlines()) == 2
    assert all(line.isprintable() for line in table.splitlines())
    document = json.loads(run("--json"))
    holder = document["ports"][0]["holders"][0]
    assert holder["name"] == clean(server[:15].split(b"\0")[0])
    assert holder["command"].isprintable()
    assert len(holder["command"]) <= 1024


@pytest.mark.parametrize("text", HOSTILE)
def test_clean(text: bytes) -> None:
    cleaned = clean(text, 40)
    assert cleaned.isprintable()
    assert len(cleaned) <= 40
    assert clean(cleaned, 40) == cleaned
    assert clean(os.fsdecode(text), 40) == cleaned
