"""The line of code that sets a socket option, in the language of the program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

LEVELS: Final = {"SO": "SOL_SOCKET", "IP": "IPPROTO_IP", "IPV6": "IPPROTO_IPV6"}
# Their numbers in <linux/in.h> and <linux/in6.h>, for languages that have no name for them.
NUMBERS: Final = {
    "IP_FREEBIND": 15,
    "IP_TRANSPARENT": 19,
    "IP_BIND_ADDRESS_NO_PORT": 24,
    "IPV6_TRANSPARENT": 75,
    "IPV6_FREEBIND": 78,
}
LANGUAGES: Final = ("python", "c", "go", "java", "rust")


def language_of(program: str) -> str:
    """The language of what runs in a program of that name; Python if that does not tell."""
    return "java" if program == "java" else LANGUAGES[0]


def code_line(options: Iterable[str], language: str) -> str:
    """Set the options to 1, in one line; in C where the language has no way to do it."""
    write = {"python": _python, "go": _go, "java": _java, "rust": _rust}.get(language, _c)
    separator = "; " if language in ("python", "go") else " "
    return separator.join(write(option) for option in options)


def _level(option: str) -> str:
    return LEVELS[option.partition("_")[0]]


def _python(option: str) -> str:
    name = str(NUMBERS[option]) if option in NUMBERS else f"socket.{option}"
    return f"sock.setsockopt(socket.{_level(option)}, {name}, 1)"


def _c(option: str) -> str:
    return f"setsockopt(fd, {_level(option)}, {option}, &(int){{1}}, sizeof(int));"


def _go(option: str) -> str:
    return f"unix.SetsockoptInt(int(fd), unix.{_level(option)}, unix.{option}, 1)"


def _java(option: str) -> str:
    if option in NUMBERS:
        return _c(option)
    return f"socket.setOption(StandardSocketOptions.{option}, true);"


def _rust(option: str) -> str:
    methods = {
        "SO_REUSEADDR": "set_reuse_address",
        "SO_REUSEPORT": "set_reuse_port",
        "IP_FREEBIND": "set_freebind_v4",
        "IPV6_FREEBIND": "set_freebind_v6",
        "IP_TRANSPARENT": "set_ip_transparent_v4",
    }
    return f"socket.{methods[option]}(true)?;" if option in methods else _c(option)
