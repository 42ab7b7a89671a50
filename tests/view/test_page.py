from __future__ import annotations

from dataclasses import replace

import pytest

from sockwatch.bind import BindRequest
from sockwatch.model import HostFacts, Netns, Orphan, Port, Process, Service
from sockwatch.view.answer import Answer, flags_line, new_request
from sockwatch.view.page import Page, page_lines
from sockwatch.view.panel import panel
from tests.support import build
from tests.support.build import group, holder, port, process, socket

WEB = Service("web.service", None, 7)


def served(*, reuseaddr: bool = True, connections: int = 0, service: Service | None = None) -> Port:
    """A server, and connections that have its flag."""
    flags = build.A if reuseaddr else build.NONE
    held = (holder(process(7, "app", service=service)),)
    one = socket("LISTEN", "0.0.0.0", 80, flags=flags, holders=held)
    opened = group("ESTABLISHED", "10.0.0.1", connections, with_fd=connections, flags=flags)
    groups = (opened._replace(holders=held, uid=0),) if connections else ()
    states = {"LISTEN": 1, "ESTABLISHED": connections}
    return port(80, listeners=(one,), groups=groups, holders=held)._replace(states=states)


def page(found: Port | None, request: BindRequest | None = None, also: str | None = None) -> Page:
    shown = build.snapshot([] if found is None else [found])
    if request is None:
        assert found is not None
        request = new_request(found)
    return Page.about(request, shown, also)


def said(of: Page) -> list[str]:
    return [str(line) for line in page_lines(of, "python")]


def test_a_service_that_is_as_it_should_be_is_restarted() -> None:
    lines = said(page(served(service=WEB)))
    assert lines[0] == "80/tcp is held by app(7)"
    assert "restart   will bind at once" in lines
    assert "next      1. restart web.service" in lines
    assert "             systemctl restart web.service" in lines


def test_a_restart_that_would_fail_says_for_how_long_and_what_helps_later() -> None:
    lines = said(page(served(reuseaddr=False, connections=12)))
    (restart,) = (line for line in lines if line.startswith("restart"))
    assert restart.startswith("restart   will fail for up to 60 s: 12 open connections")
    assert any("for future starts, set SO_REUSEADDR" in line for line in lines)


@pytest.mark.parametrize(
    ("holders", "who"),
    [
        ((process(5, "tail"),), "tail(5) has"),
        (
            tuple(
                process(pid, "app")._replace(
                    orphan=Orphan("systemd(1)", 7, is_certain=True, is_job=False)
                )
                for pid in (7, 8)
            ),
            "app(7) and 1 more have",
        ),
    ],
)
def test_of_a_server_that_is_gone_something_has_to_end_first(
    holders: tuple[Process, ...], who: str
) -> None:
    held = tuple(map(holder, holders))
    one = socket("LISTEN", "0.0.0.0", 80, flags=build.A, holders=held)
    lines = said(page(port(80, listeners=(one,), holders=held)))
    assert f"restart   will bind at once after {who} ended" in lines


def test_nobody_has_it() -> None:
    lines = said(page(None, BindRequest("tcp", "0.0.0.0", 1234)))
    assert lines == ["1234/tcp: nobody has it", "bind      succeeds with any flags on 0.0.0.0"]


def test_both_families_in_one_line_where_they_get_the_same() -> None:
    request = BindRequest("tcp", "0.0.0.0", 80)
    (line,) = (text for text in said(page(served(), request, "::")) if text[:7] == "another")
    assert line.startswith("another   EADDRINUSE with any flags on 0.0.0.0 and [::]: app(7) ")
    found = port(
        80,
        listeners=(socket("LISTEN", "::", 80, v6only=True, flags=build.A),),
    )
    lines = said(page(found, request, "::"))
    assert any(text == "another   succeeds with any flags on 0.0.0.0" for text in lines)
    assert any(" on [::]: " in text for text in lines)


def test_nothing_is_asked_of_a_host_without_ipv6() -> None:
    shown = build.snapshot([])
    without = replace(shown, facts=replace(shown.facts, ipv6=False))
    assert Page.about(BindRequest("tcp", "0.0.0.0", 80), without, "::").also is None


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (served(), "EADDRINUSE with any flags"),
        (
            port(80, groups=(group("TIME_WAIT", "10.0.0.1", 3, clock=(1.0, 9.0), flags=build.A),)),
            "succeeds with SO_REUSEADDR, EADDRINUSE without",
        ),
        (
            port(
                80,
                listeners=(socket("LISTEN", "0.0.0.0", 80, flags=build.AP, uid=0, holders=()),),
            ),
            "succeeds with SO_REUSEPORT, EADDRINUSE without",
        ),
    ],
)
def test_what_the_flags_change(found: Port, line: str) -> None:
    request = BindRequest("tcp", "0.0.0.0", 80, uid=0)
    assert flags_line(Answer.to(request, build.snapshot([found]))) == line


def test_the_panel_does_not_propose_to_end_a_healthy_server() -> None:
    found = served()
    lines = [str(line) for line in panel(new_request(found), build.snapshot([found]))]
    assert lines[0] == "80/tcp is held by app(7)"
    assert lines[1] == "restart   will bind at once"
    assert not any("kill" in line for line in lines)


def test_the_panel_says_what_is_wrong_before_the_verdict() -> None:
    found = served(reuseaddr=False)
    lines = [str(line) for line in panel(new_request(found), build.snapshot([found]))]
    assert "listens without SO_REUSEADDR" in lines[1]
    assert lines[2].startswith("restart")


def test_a_page_of_another_namespace_says_so_and_enters_it() -> None:
    found = replace(page(served(reuseaddr=False)), is_outside=True)
    blue = replace(found, snapshot=replace(found.snapshot, netns=Netns(2, "blue")))
    assert said(blue)[0] == "in netns blue, 80/tcp is held by app(7)"
    low = page(None, BindRequest("tcp", "0.0.0.0", 80, uid=33))
    facts = HostFacts(uid=0, unprivileged_port_start=1024, net_bind_service=True)
    shown = replace(low.snapshot, netns=Netns(2, None, pid=9), facts=facts)
    there = replace(Page.about(low.request, shown), is_outside=True)
    assert any(
        line.endswith(
            "nsenter --net=/proc/9/ns/net sysctl -w net.ipv4.ip_unprivileged_port_start=80"
        )
        for line in said(there)
    )
    gone = replace(there, snapshot=replace(shown, netns=Netns(2, None)))
    assert not any("sysctl" in line for line in said(gone))
