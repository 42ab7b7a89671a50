"""The screen with documents as its source: live, alone, ended, stalled; nothing acts."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from sockwatch.cli.far_host import STALLED_S, FarHost
from sockwatch.cli.source import Source
from sockwatch.export.carried import Carried, carried_document
from sockwatch.model import HostSnapshot, Snapshot, SockwatchError
from sockwatch.tui.app import SockwatchApp
from sockwatch.tui.options import Options
from tests.support import build
from tests.support.waiting import wait_until
from tests.tui.host import screen_lines, shows, wait_for
from tests.tui.terminal import Program

OWN = build.snapshot(build.web_host())


def document(*snapshots: Snapshot, is_wide: bool = False) -> bytes:
    seen = HostSnapshot(snapshots)
    return carried_document(Carried(seen, "0.1.0", is_wide=is_wide)).encode()


class Pipe:
    """A stream whose documents the test writes, and what the screen makes of it."""

    def __init__(self, name: str | None) -> None:
        ours, self.end = os.pipe()
        self.options = argparse.Namespace(source=f"/dev/fd/{ours}", host=None, host_command=None)
        self.source = Source(self.options)
        os.close(ours)
        self.source.name = name
        self.now = 0.0
        self.thread: Thread | None = None

    def write(self, data: bytes) -> None:
        os.write(self.end, data)

    def close(self) -> None:
        if self.end >= 0:
            os.close(self.end)
            self.end = -1

    def far(self) -> FarHost:
        made = FarHost(self.source, clock=lambda: self.now)
        self.thread = made._thread
        return made


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe(None)
    with made.source:
        yield made
        made.close()
        if made.thread is not None:  # its file descriptor must not be another one while it reads
            made.thread.join()


def app_of(far: FarHost) -> SockwatchApp:
    return SockwatchApp(
        Options(interval_s=3600.0, readonly=True), far.take, namespaces=far.namespaces, far=far
    )


def error_of(take: Callable[[int | None], Snapshot]) -> str:
    try:
        take(None)
    except SockwatchError as error:
        return str(error)
    return ""


def test_one_document_stays(pipe: Pipe) -> None:
    pipe.write(document(OWN))
    pipe.close()
    far = pipe.far()
    for _ in range(3):
        assert far.take(None) == replace(OWN, on_host="web-1")
    text, style = far.pace()
    assert (text.startswith("0.1.0, "), text.endswith(" ago") or "ahead" in text) == (True, True)
    assert style == "-warn"


def test_a_stream_is_live_until_it_ends(pipe: Pipe) -> None:
    pipe.write(document(OWN))
    far = pipe.far()
    pipe.write(document(replace(OWN, time=OWN.time + 1)))
    wait_until(lambda: far.take(None).time == OWN.time + 1)
    assert far.pace() == ("0.1.0, live", "-dim")
    pipe.close()
    wait_until(lambda: error_of(far.take) == "the stream has ended")


def test_a_stream_that_stalls_is_no_news(pipe: Pipe) -> None:
    pipe.source.name = "web-1"  # as by ssh
    pipe.write(document(OWN))
    far = pipe.far()
    assert error_of(far.take) == ""
    pipe.now = STALLED_S + 1
    assert error_of(far.take) == "nothing has come from web-1 for 6s"
    assert far.pace() == ("0.1.0, 6s ago", "-warn")


def test_what_is_malformed_ends_it(pipe: Pipe) -> None:
    pipe.write(document(OWN))
    far = pipe.far()
    pipe.write(document(OWN) + b"{}\n")
    wait_until(lambda: "ended: this is no document" in error_of(far.take))


def test_whatever_goes_wrong_ends_it(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise MemoryError

    pipe.write(document(OWN))
    far_source = pipe.source
    first = far_source.first()
    monkeypatch.setattr(far_source, "first", lambda: first)
    monkeypatch.setattr(far_source, "next", fail)
    far = pipe.far()
    assert far.take(None) == replace(OWN, on_host="web-1")
    far._thread.join()
    pipe.source.name = "web-1"
    assert error_of(far.take) == "the stream has ended: no memory is left"


def test_nothing_at_all_is_an_error(pipe: Pipe) -> None:
    pipe.close()
    with pytest.raises(SockwatchError, match="nothing came"):
        pipe.far()


async def test_the_screen_names_the_host_and_acts_on_none(pipe: Pipe) -> None:
    pipe.write(document(OWN))
    app = app_of(pipe.far())
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        assert "web-1" in screen_lines(app)[0]
        assert "0.1.0, " in screen_lines(app)[0]
        await pilot.press("f")
        await shows(pilot, "failures are watched on web-1")
        await pilot.press("l")
        await shows(pilot, "the lab is of this host, and web-1 is shown")


async def test_commands_are_for_that_host(pipe: Pipe) -> None:
    pipe.write(document(OWN))
    app = app_of(pipe.far())
    async with app.run_test(size=(80, 40)) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press("8", "0", "8", "0", "enter")
        await shows(pilot, "on web-1, 8080/tcp is held by")
        await shows(pilot, "on web-1, stop web.service")


async def test_nothing_is_done_to_it(pipe: Pipe) -> None:
    pipe.write(document(OWN))
    app = app_of(pipe.far())
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press("space")
        await shows(pilot, "nothing is done to web-1 from here")


async def test_of_one_port_no_other_is_told(pipe: Pipe) -> None:
    ports = tuple(port for port in OWN.ports if port.number == 8080)
    pipe.write(document(replace(OWN, ports=ports, only_port=8080)))
    app = app_of(pipe.far())
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press(*"9090")
        await shows(pilot, "1 of 1")
        assert "9090" not in "\n".join(screen_lines(app))


async def test_all_of_its_namespaces(pipe: Pipe) -> None:
    other = replace(OWN, netns=OWN.netns._replace(inode=7, name="blue"), ports=(build.dns(),))
    pipe.write(document(OWN, other, is_wide=True))
    app = app_of(pipe.far())
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press("N")
        await shows(pilot, "all namespaces (2)")
        await shows(pilot, "blue")


async def test_the_end_is_said_on_the_screen(pipe: Pipe) -> None:
    pipe.write(document(OWN))
    far = pipe.far()
    pipe.write(document(OWN))
    app = app_of(far)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        pipe.close()
        wait_until(lambda: bool(error_of(far.take)))
        await pilot.press("r")
        await wait_for(pilot, lambda: "the stream has ended" in "\n".join(screen_lines(app)))
        assert "gunicorn" in "\n".join(screen_lines(app))


def test_keys_come_from_the_terminal_while_documents_come_from_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "web-1.json"
    path.write_bytes(document(OWN))
    command = ["sh", "-c", f"{sys.executable} -m sockwatch --from - < {path}"]
    with Program(command) as program:
        program.wait_until(lambda: b"gunicorn" in program.output, "no table")
        program.press("q")
        program.wait_until(lambda: program.process.poll() is not None, "it goes on")
        assert program.process.returncode == 0


def test_documents_may_come_from_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "web-1.json"
    path.write_bytes(document(OWN))
    feed = (
        "import socket, subprocess, sys; ours, theirs = socket.socketpair();"
        f"ours.sendall(open({str(path)!r}, 'rb').read()); ours.shutdown(socket.SHUT_WR);"
        "subprocess.run([sys.executable, '-m', 'sockwatch', '--from', '-'], stdin=theirs)"
    )
    with Program([sys.executable, "-c", feed]) as program:
        program.wait_until(lambda: b"gunicorn" in program.output, "no table")
        program.press("q")
        program.wait_until(lambda: program.process.poll() is not None, "it goes on")


def test_without_a_terminal_there_is_no_screen(tmp_path: Path) -> None:
    path = tmp_path / "web-1.json"
    path.write_bytes(document(OWN))
    done = subprocess.run(
        [sys.executable, "-m", "sockwatch", "--from", str(path)], capture_output=True, text=True,
        stdin=subprocess.DEVNULL, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, "needs a terminal" in done.stderr) == (2, True)
