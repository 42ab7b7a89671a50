"""What is found among failures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sockwatch.bind.model import Cause
from sockwatch.model import Netns
from sockwatch.view.fold_filter import FOLD_LANGUAGE
from sockwatch.view.folding import fold
from tests.view.test_folding import failed

CAUSE = Cause("listener", "apache2(700) of user root listens on 0.0.0.0:80")
FOLDS = fold(
    (),
    [
        replace(failed(), explained=True, cause=CAUSE, netns=Netns(1, "host")),
        replace(failed(name="dnsd", protocol="udp", address="127.0.0.1", port=53, errno="EACCES",
                       pid=77, uid=33, process=None, comm="dnsd"), netns=Netns(2, "blue")),
        failed(name="php", protocol="unix", family="unix", address="/run/x80.sock", port=None),
        failed(name="odd", process=None, comm="odd", protocol=None, family=None, address=None,
               port=None, pid=None),
    ],
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "odd php dnsd nginx"),
        ("DNS", "dnsd"),
        ("80", "php nginx"),  # half typed
        ("port:80", "nginx"),
        ("port:53,80", "dnsd nginx"),
        ("53/udp", "dnsd"),
        ("127.0.0.1:80", "nginx"),  # of 0.0.0.0 too
        ("127.0.0.1:53", "dnsd"),
        ("10.0.0.1:53", ""),
        ("/run/x", "php"),
        ("apache2", "nginx"),
        ("blue", "dnsd"),
        ("nginx.service", "php nginx"),
        ("eacces", "dnsd"),
        ("errno:EADDR", "odd php nginx"),
        ("process:77", "dnsd"),
        ("process:php", "php"),
        ("user:root", "php nginx"),
        ("user:33", "dnsd"),
        ("proto:unix", "php"),
        ("-errno:eacces proto:tcp", "nginx"),
    ],
)
def test_found(text: str, expected: str) -> None:
    parsed = FOLD_LANGUAGE.parse(text)
    assert parsed.errors == ()
    assert " ".join(each.key.program for each in FOLDS if parsed.matches(each)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("state:listen", "state: is not a filter term: type port:, process:, user:, proto: or"),
        ("proto:sctp", "sctp is not a protocol: type proto:tcp, proto:udp or proto:unix"),
        ("errno:", "errno: needs a value: type errno:EACCES"),
    ],
)
def test_a_wrong_term_says_what_to_type(text: str, message: str) -> None:
    [error] = FOLD_LANGUAGE.parse(text).errors
    assert error.message.startswith(message)
