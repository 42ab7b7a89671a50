"""Who started a process."""

from __future__ import annotations

import pytest

from sockwatch.model import Ancestor, Orphan, Process, Service
from sockwatch.view.parents import started_by
from tests.support.build import NOW, process

SYSTEMD = ("systemd", 1, "/usr/lib/systemd/systemd")
USER_SYSTEMD = ("systemd", 900, "/usr/lib/systemd/systemd")
BASH = ("bash", 812, "/usr/bin/bash")
MAKE = ("make", 820, "/usr/bin/make")
TMUX = ("tmux: server", 700, "/usr/bin/tmux")
SSHD = ("sshd-session", 750, None)  # which an ordinary user may not read
OLD_SSHD = ("sshd", 751, "/usr/sbin/sshd")
WEB = Service("web.service", None, 7)
OWN_WEB = Service("web.service", 1000, 7)


def child_of(
    *ancestors: tuple[str, int, str | None],
    service: Service | None = None,
    unit: str | None = None,
    reparented: bool = False,
) -> Process:
    return process(7000, "python3", service=service, unit=unit)._replace(
        ancestors=tuple(Ancestor(pid, name, NOW, path) for name, pid, path in ancestors),
        orphan=Orphan("init(1)", 1, is_certain=True, is_job=False) if reparented else None,
    )


@pytest.mark.parametrize(
    ("child", "text"),
    [
        (child_of(SYSTEMD, service=WEB), "by systemd"),
        (child_of(USER_SYSTEMD, SYSTEMD, service=OWN_WEB), "by systemd --user"),
        (child_of(TMUX, USER_SYSTEMD, SYSTEMD), "in tmux(700)"),
        (child_of(BASH, TMUX, SYSTEMD), "in tmux(700)"),
        (child_of(MAKE, BASH, TMUX, SYSTEMD), "by make(820) in tmux(700)"),
        (child_of(BASH, TMUX, BASH, OLD_SSHD, SYSTEMD), "in tmux(700)"),
        (child_of(SSHD, OLD_SSHD, SYSTEMD), "by sshd-session(750)"),
        (child_of(BASH, SSHD, SYSTEMD), "by bash(812) in an SSH session"),
        (child_of(MAKE, BASH, OLD_SSHD, SYSTEMD), "by make(820) in an SSH session"),
        (child_of(MAKE, SYSTEMD), "by make(820)"),
        (child_of(("supervisord", 50, "/usr/bin/python3.11"), SYSTEMD), "by supervisord(50)"),
        (child_of(SYSTEMD, unit="session-3.scope"), "its parent has gone"),
        (child_of(USER_SYSTEMD, SYSTEMD, unit="app-7.scope"), "its parent has gone"),
        (child_of(SYSTEMD, reparented=True), "its parent has gone"),
        (child_of(("tini", 1, "/sbin/tini"), reparented=True), "its parent has gone"),
        # Nothing shows whether these were started by it.
        (child_of(SYSTEMD), "child of systemd(1)"),
        (child_of(("tini", 1, "/sbin/tini")), "child of tini(1)"),
        (child_of(), None),
        (process(7, "python3"), None),
    ],
)  # fmt: skip
def test_who_started_it(child: Process, text: str | None) -> None:
    assert started_by(child) == text


@pytest.mark.parametrize("name", ["tmux: server", "sshd", "sshd-session", "systemd", "nginx"])
def test_a_name_alone_is_not_believed(name: str) -> None:
    pretender = (name, 66, "/usr/bin/python3.11")
    assert started_by(child_of(pretender, SYSTEMD)) == "by python3(66)"
    assert started_by(child_of(BASH, pretender, SYSTEMD)) == "by bash(812)"
