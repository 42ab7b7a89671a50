from __future__ import annotations

from sockwatch.bind import BindRequest
from sockwatch.model import Netns, Origin
from sockwatch.view.also_in import AlsoIn, also_in_lines

WEB = AlsoIn(Netns(3, None, origin=Origin("podman", "ab12" * 16, "web2", "cgroup")), "web2")
BLUE = AlsoIn(Netns(4, "blue"), "blue")
TCP = BindRequest("tcp", "127.0.0.1", 8080, reuseaddr=True)


def said(request: BindRequest, *others: AlsoIn) -> list[str]:
    return [str(line) for line in also_in_lines(request, others, 80)]


def test_nowhere_else_is_no_line() -> None:
    assert said(TCP) == []


def test_one_line_with_what_to_type() -> None:
    assert said(TCP, WEB, BLUE) == [
        "also in   container web2 (podman), netns blue: sockwatch 8080 --netns web2"
    ]
    udp = BindRequest("udp", "0.0.0.0", 53)
    assert said(udp, BLUE) == ["also in   netns blue: sockwatch 53/udp --netns blue"]


def test_what_is_to_be_pasted_is_never_wrapped() -> None:
    others = [AlsoIn(Netns(number, f"a-long-name-{number}"), str(number)) for number in range(9)]
    assert said(TCP, *others) == [
        "also in   netns a-long-name-0, netns a-long-name-1, netns a-long-name-2 and 6 more",
        "          sockwatch 8080 --netns 0",
    ]
