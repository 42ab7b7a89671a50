"""Lines of code: the one in Python is run, the others are of a known form."""

from __future__ import annotations

import socket

import pytest

from sockwatch.view.code_lines import LANGUAGES, NUMBERS, code_line

LEVELS = {"SO": socket.SOL_SOCKET, "IP": socket.IPPROTO_IP, "IPV6": socket.IPPROTO_IPV6}


@pytest.mark.parametrize("option", ["SO_REUSEADDR", "SO_REUSEPORT", *NUMBERS])
def test_the_line_in_python_sets_the_option(option: str) -> None:
    family = socket.AF_INET6 if option.startswith("IPV6") else socket.AF_INET
    with socket.socket(family) as sock:
        number = NUMBERS.get(option) or getattr(socket, option)
        try:
            exec(code_line([option], "python"), {"socket": socket, "sock": sock})  # noqa: S102
        except PermissionError:
            pytest.skip(f"{option} needs CAP_NET_ADMIN or CAP_NET_RAW")
        assert sock.getsockopt(LEVELS[option.partition("_")[0]], number) == 1


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("c", "setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &(int){1}, sizeof(int));"),
        ("go", "unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)"),
        ("java", "socket.setOption(StandardSocketOptions.SO_REUSEPORT, true);"),
        ("rust", "socket.set_reuse_port(true)?;"),
    ],
)
def test_other_languages(language: str, line: str) -> None:
    assert code_line(["SO_REUSEPORT"], language) == line
    assert code_line(["SO_REUSEADDR", "SO_REUSEPORT"], language).endswith(f"; {line}")


def test_every_option_has_a_line_in_every_language() -> None:
    for language in LANGUAGES:
        for option in ("SO_REUSEADDR", *NUMBERS):
            assert code_line([option], language)
