"""The failures on the screen."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sockwatch.bind.failure import ExplainedFailure
from sockwatch.bind.model import Cause
from sockwatch.tui.options import Options
from sockwatch.tui.screens.failures import FailuresScreen
from tests.support.bpf_ids import exist, kept_by
from tests.support.privilege import REAL_ROOT
from tests.support.waiting import wait_until
from tests.tui.failing_host import PlayedWatch
from tests.tui.host import Host, check_golden, line_with, screen_lines, shows, wait_for
from tests.tui.tmux import Tmux, tmux_is_there
from tests.view.test_folding import failed

SIZES = [(80, 24), (120, 40)]
CAUSE = Cause("listener", "apache2(700) of user root, started 3 d ago, listens on 0.0.0.0:80")
FAILS_SIX_TIMES = """
import socket
from tests.support.netns import fresh_netns
with fresh_netns(), socket.create_server(("127.0.0.1", 8080)):
    for _ in range(6):
        with socket.socket() as sock:
            try:
                sock.bind(("0.0.0.0", 8080))
            except OSError as error:
                print(error.errno, flush=True)
    input()
"""


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
        await shows(pilot, "gunicorn")
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
        assert "run as root, or with CAP_BPF and CAP_PERFMON or CAP_SYS_ADMIN" in text
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


@pytest.mark.whole_host
@pytest.mark.skipif(not tmux_is_there(), reason="tmux is not installed")
@pytest.mark.skipif(not REAL_ROOT, reason="watching needs root (BPF)")
def test_real_failures_in_a_real_terminal(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    with Tmux(tmp_path) as terminal:
        terminal.wait_for("? help", "f failures")
        terminal.press("f")
        terminal.wait_for("watching", "no call has failed yet")
        attached = kept_by(terminal.pid)
        assert attached[1], "no program is attached"
        with subprocess.Popen(
            [sys.executable, "-c", FAILS_SIX_TIMES], cwd=root, text=True,
            env=os.environ | {"PYTHONPATH": str(root)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        ) as server:  # fmt: skip
            terminal.wait_for("0.0.0.0:8080, 6 times in", "6 failures")
            terminal.wait_for("blocked by LISTEN 127.0.0.1:8080 ")
            server.communicate("\n")
        terminal.press("Escape")
        terminal.wait_for("l lab")
        wait_until(lambda: not exist(attached), lambda: "the program is still in the kernel")
