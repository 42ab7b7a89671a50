from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sockwatch.bind import BindRequest
from sockwatch.bind.pair import RequestPair
from sockwatch.model import HostFacts, Port
from sockwatch.view.acts import (
    Acts,
    Goal,
    acts_on,
    free_plan,
    now_text,
    port_of,
    signature,
    whole_port,
)
from tests.support import build
from tests.support.build import group, holder, port, process, socket

if TYPE_CHECKING:
    from sockwatch.model import Snapshot

ROOT = HostFacts(uid=0)


def seen(*ports: Port, of: int | None = None, facts: HostFacts = ROOT) -> Snapshot:
    number = ports[0].number if of is None and ports else of
    return replace(build.snapshot(ports, only_port=number), facts=facts)


def server(pid: int = 7, name: str = "app", number: int = 8080) -> Port:
    by = (holder(process(pid, name)._replace(start_ticks=pid)),)
    return port(number, listeners=(socket("LISTEN", "0.0.0.0", number, holders=by),))


def time_waits(last_s: float = 40.5) -> Port:
    return port(9000, groups=(group("TIME_WAIT", "127.0.0.1", 17, clock=(3.0, last_s)),))


def offered(found: Acts) -> list[str]:
    return [act.id for act in found.acts]


def test_of_a_server_every_act_is_offered() -> None:
    found = acts_on(whole_port("tcp", 8080), seen(server()))
    assert offered(found) == ["free", "wait", "copy", "details"]
    free, _, copy, _ = found.acts
    assert free.text == "end app(7) by SIGTERM"
    assert free.plan is not None
    assert [target.pid for target in free.plan.targets] == [7]
    assert copy.command == copy.text == "kill 7"
    assert found.note == ""


def test_nothing_has_to_be_done_for_a_port_that_nobody_has() -> None:
    found = acts_on(whole_port("tcp", 8080), seen(of=8080))
    assert offered(found) == ["details"]


def test_in_the_details_nothing_more_can_be_opened() -> None:
    found = acts_on(whole_port("tcp", 8080), seen(server()), shows_details=False)
    assert offered(found) == ["free", "wait", "copy"]


def test_what_goes_by_itself_is_waited_for_or_destroyed_by_root() -> None:
    pair = whole_port("tcp", 9000)
    found = acts_on(pair, seen(time_waits(), facts=HostFacts(uid=1000)))
    assert "free" not in offered(found)
    assert "destroy" not in offered(found)
    assert found.acts[0].id == "wait"
    assert found.acts[0].text.endswith("would succeed: in 41 s, if nobody takes the port")
    as_root = acts_on(pair, seen(time_waits()))
    assert offered(as_root)[:2] == ["destroy", "wait"]
    assert as_root.acts[0].text.startswith("destroy 17 TIME_WAIT on 127.0.0.1:9000")
    assert "destroy" not in offered(acts_on(pair, seen(time_waits()), is_outside=True))


def test_what_is_waited_for_can_be_given_up() -> None:
    found = acts_on(whole_port("tcp", 9000), seen(time_waits()), is_waited_for=True)
    assert "stop waiting" in offered(found)
    assert "wait" not in offered(found)


def test_a_login_server_is_not_to_be_freed_and_the_note_says_why() -> None:
    found = acts_on(whole_port("tcp", 22), seen(build.sshd()))
    assert "free" not in offered(found)
    assert found.note.startswith("not to be freed: ")
    assert "people log in through it" in found.note


def test_who_may_not_see_the_holder_is_told_to_free_it_as_root() -> None:
    user = replace(ROOT, uid=1000)
    found = acts_on(whole_port("tcp", 3306), seen(build.hidden(), facts=user))
    assert "free" not in offered(found)
    assert found.note.startswith("not to be freed: ")
    copied = [act.command for act in found.acts if act.command is not None]
    assert any(command.startswith("sudo sockwatch free ") for command in copied)


def test_a_client_is_not_to_be_freed() -> None:
    curl = holder(process(9, "curl"))
    client = port(
        40_000, groups=(group("ESTABLISHED", "10.0.0.5", 1, with_fd=1, holders=(curl,)),),
        holders=(curl,),
    )  # fmt: skip
    facts = replace(ROOT, port_range=(32_768, 60_999))
    found = acts_on(whole_port("tcp", 40_000), seen(client, facts=facts))
    assert not {"free", "destroy"} & set(offered(found))
    assert found.note.startswith("not to be freed: a client has it")


def test_before_a_closer_look_nothing_can_be_planned() -> None:
    everything = replace(build.snapshot((server(),)), facts=ROOT)
    free = acts_on(whole_port("tcp", 8080), everything).acts[0]
    assert (free.id, free.plan) == ("free", None)


def test_an_edited_request_alone_is_made_to_succeed() -> None:
    pair = RequestPair(BindRequest("tcp", "127.0.0.1", 9000, reuseaddr=True))
    leftovers = port(9000, groups=(group("TIME_WAIT", "127.0.0.1", 3, flags=build.A),))
    assert offered(acts_on(pair, seen(leftovers))) == ["details"]
    assert "wait" in offered(acts_on(whole_port("tcp", 9000), seen(leftovers)))


def test_a_plan_stays_the_same_while_only_its_clock_runs() -> None:
    pair = whole_port("tcp", 9000)
    early, late = (signature(free_plan(pair, seen(time_waits(s)))) for s in (40.0, 3.0))
    assert early == late


@pytest.mark.parametrize("other", [server(8), server()._replace(listeners=()), time_waits()])
def test_a_plan_changes_with_whom_it_ends(other: Port) -> None:
    pair = whole_port("tcp", 8080)
    before = signature(free_plan(pair, seen(server())))
    assert signature(free_plan(pair, seen(other._replace(number=8080)))) != before


def test_a_pid_that_was_used_again_is_another_plan() -> None:
    again = (holder(process(7, "app")._replace(start_ticks=8)),)
    listens = socket("LISTEN", "0.0.0.0", 8080, holders=again)
    pair = whole_port("tcp", 8080)
    plans = [free_plan(pair, seen(each)) for each in (server(), port(8080, listeners=(listens,)))]
    assert signature(plans[0]) != signature(plans[1])


def test_what_bind_gets_now_and_what_is_waited_for() -> None:
    pair = whole_port("tcp", 9000)
    now = seen(port(9000, groups=(
        group("TIME_WAIT", "127.0.0.1", 3, flags=build.A, clock=(1.0, 7.5)),
    )))  # fmt: skip
    assert now_text(pair, now) == "succeeds with SO_REUSEADDR, EADDRINUSE without; free in 8 s"
    (verdict, _) = pair.explain(now)
    goal = Goal.of(pair, now)
    assert goal.waiting_text(verdict) == "waiting for 9000/tcp, 8 s"
    assert goal.waiting_text() == "waiting for 9000/tcp"
    assert goal.waiting_text(refused="no") == "waiting for 9000/tcp: no"
    assert port_of(pair, now).time_wait.count == 3
    assert port_of(pair, seen(of=9000)) == Port("tcp", 9000, {})
