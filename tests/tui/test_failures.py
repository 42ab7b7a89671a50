"""The failures on the screen."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sockwatch.bind.failure import ExplainedFailure
from sockwatch.bind.model import Cause, Fix
from sockwatch.tui.options import Options
from sockwatch.tui.screens.failures import FailuresScreen
from tests.support.bpf_ids import exist, kept_by
from tests.support.privilege import REAL_ROOT
from tests.support.waiting import wait_until
from tests.tui.failing_host import PlayedWatch
from tests.tui.host import Host, check_golden, line_with, screen_lines, shows, wait_for
from tests.tui.tmux import Tmux, tmux_is_there
from tests.view.test_folding import failed

SIZES = [(60, 20), (80, 24), (120, 40)]
CAUSE = Cause("listener", "apache2(700) of user root, started 3 d ago, listens on 0.0.0.0:80")
FAILS_SIX_TIMES = """
import socket
from tests.support.netns import fresh_netns
with fresh_netns(), socket.create_server(("127.0.0.1", 28737)):
    for _ in range(6):
        with socket.socket() as sock:
            try:
                sock.bind(("0.0.0.0", 28737))
            except OSError as error:
                print(error.errno, flush=True)
    input()
"""
# Without CALL: tmux may take its time to be as wide as asked for.
SIX_TIMES = re.compile(r" 6 +\S.* tcp +0\.0\.0\.0:28737 +EADDRINUSE +python")


@pytest.fixture(autouse=True)
def _one_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def nginx(count: int) -> list[ExplainedFailure]:
    """A unit that restarts every two seconds."""
    found = [failed(1000.0 + 2 * number) for number in range(count)]
    return [replace(each, explained=True, cause=CAUSE) for each in found]


def screen(app: object) -> FailuresScreen:
    found = getattr(app, "screen", None)
    assert isinstance(found, FailuresScreen)
    return found


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_golden(size: tuple[int, int]) -> None:
    watch = PlayedWatch()
    async with Host().app(open_watch=watch.open).run_test(size=size) as pilot:
        await shows(pilot, "8080 tcp")
        await pilot.press("f")
        await shows(pilot, "no call has failed yet")
        watch.fail(
            [*nginx(44), failed(1100.0, name="odd", errno="EADDRNOTAVAIL", address="10.9.9.9")]
        )
        await shows(pilot, "45 failures")
        await pilot.press("j")
        await shows(pilot, "44 times in 86 s, every 2.0 s")
        check_golden(pilot.app, f"failures-{size[0]}x{size[1]}")


async def test_repeats_go_on_in_their_row_and_the_cursor_stays_on_its_own() -> None:
    watch = PlayedWatch()
    async with Host().app(open_watch=watch.open).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press("f")
        watch.fail([*nginx(2), failed(1100.0, name="other", port=81)])
        await shows(pilot, "1 of 2")
        await pilot.press("j")
        await shows(pilot, "2 of 2")
        watch.fail([failed(1200.0)])
        await shows(pilot, "nginx 0.0.0.0:80, 3 times")
        assert screen(pilot.app).table.cursor == 0
        assert " 3 " in line_with(pilot.app, "0.0.0.0:80 ")


async def test_a_filter_shows_only_what_matches_until_escape() -> None:
    watch = PlayedWatch()
    async with Host().app(open_watch=watch.open).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press("f")
        watch.fail([*nginx(2), failed(1100.0, name="other", port=81, errno="EACCES")])
        await shows(pilot, "1 of 2")
        await pilot.press("slash", *"errno:")
        await shows(pilot, "! errno: needs a value: type errno:EACCES")
        await pilot.press(*"acc")
        await shows(pilot, "Enter keep  Esc clear  -not port: process: user: proto: errno:")
        await pilot.press("enter")
        await shows(pilot, "1 of 1 (2 rows)  filter errno:acc")
        watch.fail([failed(1200.0), failed(1201.0, errno="EACCES", port=82)])
        await shows(pilot, "1 of 2 (3 rows)  filter errno:acc")
        assert ":80 " not in "\n".join(screen_lines(pilot.app))
        await pilot.press("slash", *"x")
        await shows(pilot, "no failure matches the filter")
        await pilot.press("escape")
        await shows(pilot, "1 of 3")
        await pilot.press("escape")
        await shows(pilot, "gunicorn")


async def test_the_command_of_the_first_fix_is_copied_or_else_the_row() -> None:
    watch = PlayedWatch()
    fixes = (Fix("end it", "kill 700"), Fix("or wait", "sleep 60"))
    async with Host().app(open_watch=watch.open).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press("f")
        await pilot.press("y")
        watch.fail([replace(failed(1100.0), fixes=fixes), failed(port=81)])
        await shows(pilot, "1 of 2")
        await pilot.press("y")
        await shows(pilot, "copied the row: 00:16:40 1 - tcp 0.0.0.0:81 EADDRINUSE! nginx")
        await pilot.press("j", "y")
        await shows(pilot, "copied the command: kill 700")
        assert pilot.app.clipboard == "kill 700"


@pytest.mark.parametrize(
    ("changes", "notice"),
    [
        ({"protocol": "unix", "family": "unix", "address": "/x", "port": None},
         "a unix socket has a path and no port"),
        ({"protocol": "other", "family": "netlink", "address": None, "port": None},
         "netlink: only ports of TCP and UDP can be shown"),
        ({"address": None, "port": None}, "the port of the call is unknown"),
        ({"port": 0}, "the call asked for any free port, so there is none to show"),
        ({"netns_inode": None}, "the network namespace of the call is unknown"),
        ({"netns_inode": 1}, "no visible process is left in the network namespace 1"),
    ],
)  # fmt: skip
async def test_a_failure_without_a_port_to_show_says_why(
    changes: dict[str, Any], notice: str
) -> None:
    watch = PlayedWatch()
    async with Host().app(open_watch=watch.open).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press("f", "enter")  # nothing is there to open
        watch.fail([failed(**changes)])
        await shows(pilot, "1 of 1")
        await pilot.press("enter")
        await shows(pilot, f" {notice}")
        assert screen(pilot.app).is_current


async def test_help_and_footer_tell_the_keys() -> None:
    async with Host().app().run_test(size=(80, 60)) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press("f")
        await shows(pilot, "/ filter  Enter details  y copy  Esc back  p pause  q quit")
        await pilot.press("question_mark")
        await shows(pilot, "Show the port of the failure, in its network namespace")
        await shows(pilot, "errno:            part of the kernel's answer: errno:EACCES")


async def test_what_was_lost_is_told() -> None:
    watch = PlayedWatch()
    async with Host().app(open_watch=watch.open).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press("f")
        watch.fail(nginx(1), lost=7)
        await shows(pilot, "1 of 1  ! 7 more were lost: they came too fast")


async def test_without_the_privilege_it_says_what_is_needed() -> None:
    watch = PlayedWatch("BPF is not permitted")
    async with Host().app(open_watch=watch.open).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press("f")
        await shows(pilot, "not watching")
        text = " ".join(" ".join(screen_lines(pilot.app)).split())
        assert "with CAP_BPF and CAP_PERFMON or CAP_SYS_ADMIN" in text
        assert ("run as root" in text) == (os.geteuid() != 0)
        await pilot.press("escape")
        await shows(pilot, "gunicorn")


async def test_it_watches_only_while_it_is_in_front_and_keeps_what_it_saw() -> None:
    watch = PlayedWatch()
    async with Host().app(open_watch=watch.open).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        assert watch.opened == 0
        await pilot.press("f")
        watch.fail(nginx(2))
        await shows(pilot, "2 failures")
        await pilot.press("escape")
        await wait_for(pilot, lambda: watch.closed == 1)
        await pilot.press("f")
        await shows(pilot, "2 failures")
        await wait_for(pilot, lambda: watch.opened == 2)


async def test_watch_failures_watches_from_the_start_and_notices() -> None:
    watch = PlayedWatch()
    options = Options(interval_s=3600.0, watch_failures=True)
    async with Host().app(options, open_watch=watch.open).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        await wait_for(pilot, lambda: watch.opened == 1)
        watch.fail(nginx(3))
        await shows(pilot, "nginx 0.0.0.0:80, 3 times in 4 s, every 2.0 s; press f for more")
        await pilot.press("f")
        await shows(pilot, "3 failures")
        await pilot.press("escape")
        await shows(pilot, "gunicorn")
        assert watch.closed == 0
    assert watch.opened == 1


async def test_a_pause_freezes_the_rows() -> None:
    watch = PlayedWatch()
    async with Host().app(open_watch=watch.open).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press("f")
        watch.fail(nginx(1))
        await shows(pilot, "1 failure")
        await pilot.press("p")
        await shows(pilot, "PAUSED")
        seen = pilot.app.failures.seen  # type: ignore[attr-defined] # what has come meanwhile
        watch.fail(nginx(5))
        await wait_for(pilot, lambda: pilot.app.failures.seen is not seen)  # type: ignore[attr-defined]
        assert "1 failure" in "\n".join(screen_lines(pilot.app))
        await pilot.press("p")
        await shows(pilot, "6 failures")


async def test_hostile_names_are_only_text() -> None:
    watch = PlayedWatch()
    async with Host().app(open_watch=watch.open).run_test(size=(120, 24)) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press("f")
        watch.fail([failed(name="[@click=app.quit]x[/]")])
        await shows(pilot, "[@click=app.quit]x[/] 0.0.0.0:80, once")


@pytest.mark.skipif(not tmux_is_there(), reason="tmux is not installed")
@pytest.mark.skipif(not REAL_ROOT, reason="watching needs root (BPF)")
@pytest.mark.whole_host
def test_real_failures_in_a_real_terminal(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    # Other calls of this host fail meanwhile: there is room for many rows.
    with Tmux(tmp_path, size=(120, 100)) as terminal:
        terminal.wait_for("? help", "f failures")
        terminal.press("f")
        terminal.wait_for("watching")
        attached = kept_by(terminal.pid)
        assert attached[1], "no program is attached"
        with subprocess.Popen(
            [sys.executable, "-c", FAILS_SIX_TIMES], cwd=root, text=True,
            env=os.environ | {"PYTHONPATH": str(root)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        ) as server:  # fmt: skip
            wait_until(
                lambda: SIX_TIMES.search(terminal.screen), lambda: terminal.screen, pause_s=0.05
            )
            # Its port, as it is in that network namespace, for as long as that exists.
            terminal.press("/", *"port:28737", "Enter")
            terminal.wait_for("filter port:28737")
            terminal.press("Enter")
            terminal.wait_for("28737/tcp is held by python")
            server.communicate("\n")
        gone = "no visible process is left in the network namespace"
        terminal.wait_for(f"! {gone}")
        terminal.press("Escape")
        terminal.wait_for("filter port:28737")
        terminal.press("Enter")
        terminal.wait_for(f" {gone}")
        terminal.press("Escape")
        wait_until(lambda: "filter port:" not in terminal.screen, lambda: terminal.screen)
        terminal.press("Escape")
        terminal.wait_for("l lab")
        wait_until(lambda: not exist(attached), lambda: "the program is still in the kernel")
