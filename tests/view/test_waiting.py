"""What a wait says: what is in the way, and how it ended."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sockwatch.bind import Verdict, explain_bind
from sockwatch.model import Socket, SocketGroup
from sockwatch.view.waiting import awaited, ended_text
from tests.bind.makers import FACTS, UNKNOWN, group, request, snapshot, socket
from tests.support.build import holder, process

GUNICORN = (holder(process(4242, "gunicorn")),)
WORKERS = (*GUNICORN, holder(process(4243, "gunicorn", parent=4242)))


def verdict(*owners: Socket | SocketGroup, address: str = "0.0.0.0") -> Verdict:
    return explain_bind(request(address), replace(snapshot(*owners), facts=FACTS))


@pytest.mark.parametrize(
    ("owners", "text"),
    [
        ((group(count=17),), "17 TIME_WAIT (last frees in 41 s)"),
        (
            (group("ESTABLISHED", holders=GUNICORN, count=3, with_fd=3),),
            "gunicorn(4242) draining, 3 connections",
        ),
        (
            (
                group("ESTABLISHED", holders=WORKERS, count=2, with_fd=2),
                group("CLOSE_WAIT", holders=WORKERS, with_fd=1),
            ),
            "gunicorn(4242) +1 draining, 3 connections",
        ),
        (
            (group("FIN_WAIT1", count=2, with_fd=0),),
            "2 FIN_WAIT1 on 127.0.0.1, which no process has any more",
        ),
        (
            (group("ESTABLISHED", count=2, with_fd=2),),
            "2 ESTABLISHED on 127.0.0.1, of a process that could not be seen",
        ),
        (
            (group(flags=UNKNOWN), group("ESTABLISHED", holders=GUNICORN, with_fd=1)),
            "TIME_WAIT (frees in 41 s), gunicorn(4242) draining, 1 connection",
        ),
    ],
)
def test_what_ends_by_itself(owners: tuple[Socket | SocketGroup, ...], text: str) -> None:
    one = awaited([verdict(*owners)])
    assert one is not None
    assert (one.text, one.ends) == (text, True)


def test_what_stays() -> None:
    one = awaited([verdict(socket(holders=GUNICORN))])
    assert one is not None
    assert one.text == "EADDRINUSE on 0.0.0.0: gunicorn(4242) listens on 0.0.0.0:8080"
    assert not one.ends


def test_nothing() -> None:
    assert awaited([verdict()]) is None


def test_only_numbers_change() -> None:
    def key(*owners: Socket | SocketGroup) -> tuple[object, ...]:
        one = awaited([verdict(*owners)])
        assert one is not None
        return one.key

    drains = group("ESTABLISHED", holders=GUNICORN, count=3, with_fd=3)
    assert key(drains) == key(drains._replace(count=2, with_fd=2))
    assert key(group(count=17)) == key(group(count=16))
    assert len({key(drains), key(group()), key(drains, group()), key(socket())}) == 4
    assert key(socket(holders=GUNICORN)) != key(socket(holders=WORKERS[1:]))


def test_both_families_say_a_socket_once() -> None:
    both = [verdict(group(count=17)), verdict(group(count=17), address="::")]
    one = awaited(both)
    assert one is not None
    assert one.text == "17 TIME_WAIT (last frees in 41 s)"


@pytest.mark.parametrize(
    ("waited_s", "text"),
    [
        (None, "8080/tcp: bind() succeeds on 0.0.0.0 and [::]"),
        (3.21, "8080/tcp: bind() succeeds on 0.0.0.0 and [::]; waited 3.2 s"),
        (61.0, "8080/tcp: bind() succeeds on 0.0.0.0 and [::]; waited 1 min"),
    ],
)
def test_how_it_ended(waited_s: float | None, text: str) -> None:
    assert ended_text([verdict(), verdict(address="::")], waited_s) == text


def test_the_options_are_said_once() -> None:
    both = [
        explain_bind(request(address, (True, False)), replace(snapshot(), facts=FACTS))
        for address in ("0.0.0.0", "::")
    ]
    assert ended_text(both, None) == ("8080/tcp: bind() succeeds on 0.0.0.0 and [::] (reuseaddr)")


def test_what_failed_is_named() -> None:
    listens = socket(holders=GUNICORN, address="::", v6only=True)
    text = ended_text([verdict(listens), verdict(listens, address="::")], 2)
    assert text.startswith("8080/tcp: EADDRINUSE on [::]: gunicorn(4242) listens on [::]:8080")
    assert text.endswith("; waited 2.0 s")
