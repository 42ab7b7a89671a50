"""Situations in which the call fails whoever has the port; and those of unix sockets."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sockwatch.bind.cause_ids import CauseId
from tests.stage import actors, calls
from tests.stage.actors import start
from tests.stage.calls import Call
from tests.stage.places import FOLDER
from tests.stage.situation import KILLS, LOWERS, REMOVES, SOCKET_FILE, USER, Situation, nothing


def a_unix_server() -> None:
    start("server", actors.unix_listener, SOCKET_FILE)


def a_stale_file() -> None:
    actors.unix_listener(SOCKET_FILE).close()


def another_file() -> None:
    Path(SOCKET_FILE).write_text("")


UNIX = Call(path=SOCKET_FILE)
NO_FOLDER = Call(path=str(FOLDER / "nowhere/app.sock"))
LOW = Call(port=80)
REFUSALS: Final = (
    Situation(CauseId.LOW_PORT, nothing, Call(port=80, uid=USER), LOWERS, "ok"),
    *(
        Situation(cause, nothing, call, then="ok", fails=fails, failures_only=True)
        for cause, call, fails in (
            (CauseId.LOW_PORT_ELSEWHERE, LOW, calls.in_a_user_namespace),
            (CauseId.SECURITY_POLICY, Call(), calls.in_a_sandbox),
            (CauseId.MISSING_CAPABILITY, Call(uid=USER), calls.to_a_netlink_group),
            (CauseId.BAD_CALL, Call(), calls.without_a_socket),
            (CauseId.ALREADY_BOUND, Call(), calls.twice_on_one_socket),
            (CauseId.WRONG_FAMILY, Call(), calls.with_an_ipv6_address),
            (CauseId.NETLINK_PORT_ID, Call(), calls.two_netlink_sockets),
        )
    ),
    Situation(CauseId.UNIX_LIVE, a_unix_server, UNIX, KILLS, failures_only=True),
    Situation(
        CauseId.UNIX_STALE, a_stale_file, UNIX, REMOVES, "ok", failures_only=True, inside_only=True
    ),
    Situation(CauseId.UNIX_OTHER_FILE, another_file, UNIX, failures_only=True),
    Situation(CauseId.UNIX_FOLDER, nothing, NO_FOLDER, then="ENOENT", failures_only=True),
)
