"""What a filter can ask of failures that are alike; of their process, the latest counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from sockwatch.view import failures
from sockwatch.view.asked import Asked
from sockwatch.view.filter_language import FilterLanguage, TermHelp, WrongTermError
from sockwatch.view.folding import Fold
from sockwatch.view.names import origin_text

Test: TypeAlias = Callable[[Fold], bool]
PROTOCOLS = ("tcp", "udp", "unix")


def _texts(fold: Fold) -> Iterator[str]:
    last, failure = fold.last, fold.last.failure
    yield fold.key.program
    yield fold.key.endpoint
    if failure.port is not None:
        yield f"{failure.port}/{fold.key.protocol}"
    yield failure.call
    yield failure.errno
    yield failures.why(last)
    if last.netns is not None and last.netns.name:
        yield last.netns.name
    if failure.process is not None:
        yield failure.process.command
        yield failure.process.user
        if failure.process.origin is not None:
            yield origin_text(failure.process.origin)


def _matches_port(asked: Asked, fold: Fold) -> bool:
    failure = fold.last.failure
    if failure.protocol is None or failure.port is None or failure.address is None:
        return False
    return asked.meets(failure.protocol, failure.port, (failure.address,))


def _process(value: str) -> Test:
    def test(fold: Fold) -> bool:
        return value in fold.key.program.casefold() or value == str(fold.last.failure.pid)

    return test


def _user(value: str) -> Test:
    def test(fold: Fold) -> bool:
        failure = fold.last.failure
        if failure.process is not None and value in failure.process.user.casefold():
            return True
        return value == str(failure.uid)

    return test


def _proto(value: str) -> Test:
    if value not in PROTOCOLS:
        raise WrongTermError(f"{value} is not a protocol: type proto:tcp, proto:udp or proto:unix")
    return lambda fold: fold.key.protocol == value


def _errno(value: str) -> Test:
    return lambda fold: value in fold.last.failure.errno.casefold()


FOLD_LANGUAGE: FilterLanguage[Fold] = FilterLanguage(
    {
        "port": TermHelp(None, "port number, range or list", "port:8080, port:8000-8100"),
        "process": TermHelp(_process, "part of the program's name, or a pid", "process:nginx"),
        "user": TermHelp(_user, "part of its user's name, or a uid", "user:www"),
        "proto": TermHelp(_proto, "protocol", "proto:tcp, proto:udp, proto:unix"),
        "errno": TermHelp(_errno, "part of the kernel's answer", "errno:EACCES"),
    },
    _texts,
    _matches_port,
    "part of a program, command, address, path, errno, cause, user or unit",
)
