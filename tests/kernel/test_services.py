"""services(5), beside what the C library reads."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sockwatch.kernel import services
from sockwatch.kernel.services import known_services, parse_services
from sockwatch.model import Protocol

LINES = """\
# comment
http\t\t80/tcp\t\tWWW  web # WorldWideWeb
domain 53/udp

sctp-thing 9/sctp
alone
bad 8o/tcp
arabic \u0668/tcp
large 123456/tcp
none /tcp
"""


def test_lines() -> None:
    assert dict(parse_services(LINES.splitlines())) == {
        ("http", "tcp"): 80,
        ("www", "tcp"): 80,
        ("web", "tcp"): 80,
        ("domain", "udp"): 53,
    }


def test_they_are_those_of_the_c_library() -> None:
    keys: list[tuple[str, Protocol]] = [("ssh", "tcp"), ("domain", "udp"), ("http-alt", "tcp")]
    for name, protocol in keys:
        try:
            expected = socket.getservbyname(name, protocol)
        except OSError:
            pytest.skip("this host has no services(5)")
        assert known_services()[name, protocol] == expected


def test_a_host_without_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = tmp_path / "services"
    second.write_bytes(b"web 8080/tcp\n\xff\xff 1/tcp\n")
    monkeypatch.setattr(services, "PATHS", (str(tmp_path / "none"), str(second)))
    assert known_services.__wrapped__()["web", "tcp"] == 8080
    monkeypatch.setattr(services, "PATHS", (str(tmp_path), str(tmp_path / "none")))
    assert known_services.__wrapped__() == {}
