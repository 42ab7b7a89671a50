"""The menu of acts, and a port that is freed from it, on a host that the test decides."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from textual.screen import Screen

from sockwatch.act.model import Event, EventKind, Plan, Step
from sockwatch.model import HostFacts, Snapshot
from sockwatch.tui import wait_thread
from sockwatch.tui.app import SockwatchApp
from sockwatch.tui.lab.screen import LabScreen
from sockwatch.tui.messages import DetailsWanted
from sockwatch.tui.options import Options
from sockwatch.tui.screens.acts import ActsScreen
from sockwatch.tui.screens.details import DetailsScreen
from sockwatch.tui.screens.free import FreeScreen
from sockwatch.tui.screens.help import HelpScreen
from sockwatch.tui.screens.main import MainScreen
from sockwatch.tui.watched import Watched
from sockwatch.tui.widgets.confirm_bar import ConfirmBar
from tests.support import build
from tests.support.build import group, holder, port, process, socket
from tests.tui.host import Host, check_golden, line_with, look, screen_lines, shows, wait_for
from tests.tui.lab_sandbox import Sandboxes
from tests.tui.test_keys import KEYS
from tests.tui.wide_host import WEB2, WideHost

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.pilot import Pilot

    from sockwatch.act.cancel import Cancellation
    from sockwatch.act.perform import Consent
    from sockwatch.act.proof import Replan
    from sockwatch.model import Port

SIZES = [(80, 24), (120, 40)]
ROOT = HostFacts(uid=0)


class RootHost(Host):
    """A host of which root sees everything."""

    def take(self, number: int | None) -> Snapshot:
        return replace(super().take(number), facts=ROOT)


def app_server(pid: int = 7, name: str = "app") -> Port:
    """80/tcp, of one process that no unit has."""
    by = (holder(process(pid, name)._replace(start_ticks=pid)),)
    return port(80, listeners=(socket("LISTEN", "0.0.0.0", 80, flags=build.A, holders=by),))


class Work:
    """Stands for sockwatch.act.perform: it tells a story and signals nobody."""

    def __init__(self, host: Host, *, is_deaf: bool = False) -> None:
        self.host = host
        self.is_deaf = is_deaf
        self.plans: list[Plan] = []
        self.agreed: bool | None = None
        self.holds = threading.Event()  # set: the first step ends
        self.ended = threading.Event()

    def __call__(
        self, plan: Plan, replan: Replan, consent: Consent, cancel: Cancellation
    ) -> Iterator[Event]:
        self.plans.append(plan)
        try:
            yield from self._story(plan.steps[0], replan, consent, cancel)
        finally:
            self.ended.set()

    def _story(
        self, step: Step, replan: Replan, consent: Consent, cancel: Cancellation
    ) -> Iterator[Event]:
        yield Event(EventKind.BEGUN, step.text, step)
        yield Event(EventKind.TOLD, f"SIGTERM sent to {step.subject}; up to 10 s", step)
        while not self.holds.is_set() and not cancel.is_set:
            cancel.wait(0.01)
        if self.is_deaf and not cancel.is_set:
            self.agreed = consent.to_kill(step, step.targets)
        if cancel.is_set:
            yield Event(EventKind.CANCELLED, f"stopped: SIGTERM was sent to {step.subject}")
            return
        self.host.ports = []
        yield Event(EventKind.DONE, f"{step.subject} has ended", step)
        verdict = replan().plan.verdict
        yield Event(EventKind.VERDICT, "the port is free", None, verdict)


async def opened(pilot: Pilot[int], host: Host, number: int = 80) -> ActsScreen:
    """The menu of the port under the cursor, after its first own look."""
    await pilot.press("space")
    await wait_for(pilot, lambda: host.asked[-1] == number)
    await shows(pilot, "Enter choose")
    await wait_for(pilot, lambda: not pilot.app.screen.fresh)  # type: ignore[attr-defined]
    assert isinstance(pilot.app.screen, ActsScreen)
    return pilot.app.screen


async def asked(pilot: Pilot[int], host: Host) -> None:
    """The plan to free port 80, and its question."""
    await shows(pilot, "app 7")
    await opened(pilot, host)
    await pilot.press("enter")
    await shows(pilot, "type 80 and Enter to do this:")


def text_of(pilot: Pilot[int]) -> str:
    return "\n".join(screen_lines(pilot.app))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_golden_menu_and_plan(size: tuple[int, int]) -> None:
    host = RootHost()
    async with host.app().run_test(size=size) as pilot:
        await shows(pilot, "8080 tcp")
        await pilot.press("down", "down", "down")
        await opened(pilot, host, 8080)
        await shows(pilot, "stop web.service")
        check_golden(pilot.app, f"acts-{size[0]}x{size[1]}")
        await pilot.press("enter")
        await shows(pilot, "type 8080 and Enter")
        check_golden(pilot.app, f"free-{size[0]}x{size[1]}")


async def test_golden_outcome() -> None:
    host = RootHost([app_server(), build.java()])
    work = Work(host)
    work.holds.set()
    async with host.app(perform=work).run_test(size=(80, 24)) as pilot:
        await asked(pilot, host)
        await pilot.press("8", "0", "enter")
        await shows(pilot, "the port is free")
        await wait_for(pilot, lambda: "Esc back" in text_of(pilot))
        await look(pilot_of_poll(pilot), host)
        await shows(pilot, "80/tcp: nobody has it")
        check_golden(pilot.app, "freed-80x24")
        await pilot.press("escape")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, MainScreen))


def pilot_of_poll(pilot: Pilot[int]) -> Pilot[int]:
    """The menu takes the keys of the app, so the poll is asked for directly."""
    assert isinstance(pilot.app, SockwatchApp)
    pilot.app.poller.poll_now()
    return pilot


@pytest.mark.parametrize("kind", [ActsScreen, FreeScreen], ids=["menu", "plan"])
async def test_no_single_key_does_anything_to_the_port(kind: type[Screen[None]]) -> None:
    """Every key by itself, and in the plan with Enter behind it."""
    host = RootHost([app_server()])
    work = Work(host)
    async with host.app(perform=work).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "app 7")
        for key in KEYS:
            if key in ("ctrl+c", "ctrl+q", "ctrl+z"):
                continue
            if not isinstance(pilot.app.screen, kind):
                while not isinstance(pilot.app.screen, MainScreen):
                    await pilot.press("escape")
                await opened(pilot, host)
                await shows(pilot, "by SIGTERM")
                if kind is FreeScreen:
                    await pilot.press("enter")
                    await shows(pilot, "type 80 and Enter")
            await pilot.press(key)
            if isinstance(pilot.app.screen, FreeScreen):
                await pilot.press("enter")
        assert not pilot.app._exit
    assert work.plans == []


async def test_space_space_enter_enter_does_nothing() -> None:
    host = RootHost([app_server()])
    work = Work(host)
    async with host.app(perform=work).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "app 7")
        await opened(pilot, host)
        await shows(pilot, "by SIGTERM")
        await pilot.press("space", "enter", "enter", "enter", "space", "enter")
        await shows(pilot, "nothing is done: that is not the number")
        await pilot.press(*"8080", "enter")
        await shows(pilot, "type 80 and Enter")
        await pilot.press("escape")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, MainScreen))
    assert work.plans == []


async def test_the_number_carries_out_the_plan_that_was_shown() -> None:
    host = RootHost([app_server()])
    work = Work(host)
    async with host.app(perform=work).run_test(size=(80, 24)) as pilot:
        await asked(pilot, host)
        for part in ("app(7) of root", "up 3 d", "kill 7", "risk: "):
            assert part in text_of(pilot)
        await pilot.press("8", "0", "enter")
        await shows(pilot, "SIGTERM sent to app(7)")
        assert [target.pid for target in work.plans[0].targets] == [7]
        work.holds.set()
        await shows(pilot, "the port is free")


async def test_a_plan_that_changes_has_to_be_agreed_to_anew() -> None:
    host = RootHost([app_server()])
    work = Work(host)
    async with host.app(perform=work).run_test(size=(80, 24)) as pilot:
        await asked(pilot, host)
        await pilot.press("8", "0")
        host.ports = [app_server(8, "other")]
        pilot_of_poll(pilot)
        await shows(pilot, "the plan: read it again")
        await shows(pilot, "other(8) of root")
        await pilot.press("enter")
        await shows(pilot, "nothing is done: that is not the number")
        assert work.plans == []
        host.ports = []
        pilot_of_poll(pilot)
        await shows(pilot, "nothing to do: bind() succeeds")
        await pilot.press("8", "0", "enter")
        assert "type 80" not in text_of(pilot)
        assert work.plans == []


async def test_an_answer_does_not_count_for_a_plan_that_was_not_shown_yet() -> None:
    """Enter was pressed, and the port changes before that is handled."""
    host = RootHost([app_server()])
    work = Work(host)
    async with host.app(perform=work).run_test(size=(80, 24)) as pilot:
        await asked(pilot, host)
        screen = pilot.app.screen
        assert isinstance(screen, FreeScreen)
        early = ConfirmBar.Answered(screen.bar.question, agreed=True)
        host.ports = [app_server(8, "other")]
        screen.show(host.take(80))
        screen.post_message(early)
        await shows(pilot, "other(8) of root")
        await pilot.pause()
    assert work.plans == []


async def test_sigkill_is_asked_for_with_the_pid() -> None:
    host = RootHost([app_server()])
    work = Work(host, is_deaf=True)
    async with host.app(perform=work).run_test(size=(80, 24)) as pilot:
        await asked(pilot, host)
        await pilot.press("8", "0", "enter")
        work.holds.set()
        await shows(pilot, "type 7 and Enter to kill app(7):")
        assert "lose what is not written" in text_of(pilot)
        await pilot.press("enter", "y", "enter", "8", "0", "enter")
        await shows(pilot, "nothing is done: that is not the number")
        assert work.agreed is None
        await pilot.press("7", "enter")
        await shows(pilot, "the port is free")
    assert work.agreed is True


async def test_escape_takes_no_further_step_and_says_what_is_done() -> None:
    host = RootHost([app_server()])
    work = Work(host)
    async with host.app(perform=work).run_test(size=(80, 24)) as pilot:
        await asked(pilot, host)
        await pilot.press("8", "0", "enter")
        await shows(pilot, "Esc take no further step")
        await pilot.press("escape")
        await shows(pilot, "stopped: SIGTERM was sent to app(7)")
        await shows(pilot, "Esc back")
        await pilot.press("escape")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, MainScreen))


async def test_escape_at_the_question_does_not_kill() -> None:
    host = RootHost([app_server()])
    work = Work(host, is_deaf=True)
    async with host.app(perform=work).run_test(size=(80, 24)) as pilot:
        await asked(pilot, host)
        await pilot.press("8", "0", "enter")
        work.holds.set()
        await shows(pilot, "type 7 and Enter")
        await pilot.press("escape")
        await shows(pilot, "stopped: SIGTERM was sent to app(7)")
    assert work.agreed is False


@pytest.mark.parametrize("is_deaf", [False, True], ids=["waits", "asks"])
async def test_the_end_of_the_app_ends_the_work(is_deaf: bool) -> None:
    host = RootHost([app_server()])
    work = Work(host, is_deaf=is_deaf)
    app = host.app(perform=work)
    async with app.run_test(size=(80, 24)) as pilot:
        await asked(pilot, host)
        await pilot.press("8", "0", "enter")
        await shows(pilot, "SIGTERM sent to app(7)")
        if is_deaf:
            work.holds.set()
            await shows(pilot, "type 7 and Enter")
        await pilot.press("ctrl+c")
        assert app._exit
    app.act_threads.join()
    assert work.ended.is_set()
    assert work.agreed is not True


async def test_a_row_that_goes_while_the_menu_is_open() -> None:
    host = RootHost([app_server()])
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "app 7")
        await opened(pilot, host)
        await shows(pilot, "by SIGTERM")
        host.ports = []
        pilot_of_poll(pilot)
        await shows(pilot, "80/tcp: nobody has it")
        assert "free  " not in text_of(pilot)
        await pilot.press("enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, DetailsScreen))


async def test_the_cursor_stays_on_the_act_that_it_was_put_on() -> None:
    host = RootHost([app_server()])
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "app 7")
        menu = await opened(pilot, host)
        await pilot.press("G")
        assert menu.list.act is not None
        assert menu.list.act.id == "details"
        host.ports = []
        pilot_of_poll(pilot)
        await shows(pilot, "nobody has it")
        assert menu.list.act.id == "details"


async def test_a_command_is_copied_and_the_menu_closes() -> None:
    host = RootHost([app_server()])
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "app 7")
        await opened(pilot, host)
        await shows(pilot, "copy         kill 7")
        await pilot.press("down", "down", "enter")
        await shows(pilot, "copied the command: kill 7")
        assert isinstance(pilot.app.screen, MainScreen)
        assert pilot.app.clipboard == "kill 7"


def leftovers(seconds: float = 41.0) -> Port:
    return port(9000, groups=(group("TIME_WAIT", "127.0.0.1", 3, clock=(1.0, seconds)),))


async def test_waiting_is_told_on_every_screen_and_rings_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = RootHost([app_server(), leftovers()])
    rung: list[int] = []
    app = host.app()
    monkeypatch.setattr(app, "bell", lambda: rung.append(1))
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "app 7")
        await pilot.press("down")
        menu = await opened(pilot, host, 9000)
        await pilot.press("down")
        assert menu.list.act is not None
        assert menu.list.act.id == "wait"
        await pilot.press("enter")
        await shows(pilot, "waiting for 9000/tcp, 41 s")
        await pilot.press("enter")
        await wait_for(pilot, lambda: isinstance(app.screen, DetailsScreen))
        await shows(pilot, "waiting for 9000/tcp, 41 s")
        assert not rung
        host.ports = [app_server()]
        await shows(pilot, "9000/tcp is free: bind() would succeed now")
        assert "waiting" not in text_of(pilot)
        assert rung == [1]


async def test_waiting_can_be_given_up() -> None:
    host = RootHost([leftovers()])
    app = host.app()
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "TIME_WAIT 41s")
        await opened(pilot, host, 9000)
        await pilot.press("down", "enter")
        await shows(pilot, "waiting for 9000/tcp, 41 s")
        await opened(pilot, host, 9000)
        await shows(pilot, "stop waiting")
        await pilot.press("down", "enter")
        await wait_for(pilot, lambda: "waiting for" not in text_of(pilot))
        assert app.act_threads.wait is None


async def test_the_details_offer_the_acts_for_the_request_that_was_typed() -> None:
    flagged = port(9000, groups=(group("TIME_WAIT", "127.0.0.1", 3, flags=build.A),))
    host = RootHost([flagged])
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "9000")
        await pilot.press("enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, DetailsScreen))
        await shows(pilot, "EADDRINUSE without")
        await opened(pilot, host, 9000)
        await shows(pilot, "wait   ")
        assert "details" not in text_of(pilot)
        await pilot.press("escape", "e", *" reuseaddr", "enter")
        await shows(pilot, "bind      succeeds on 0.0.0.0 (reuseaddr)")
        await opened(pilot, host, 9000)
        assert "wait   " not in text_of(pilot)


async def test_client_ports_in_one_row_are_not_acted_on() -> None:
    curl = (holder(process(9, "curl")),)
    client = port(
        40_000, groups=(group("ESTABLISHED", "10.0.0.5", 1, with_fd=1, holders=curl),),
        holders=curl,
    )  # fmt: skip

    class Clients(RootHost):
        def take(self, number: int | None) -> Snapshot:
            facts = replace(ROOT, port_range=(32_768, 60_999))
            return replace(super().take(number), facts=facts)

    host = Clients([app_server(), client])
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "client ports: 1")
        await pilot.press("G", "space")
        await shows(pilot, "clients have these ports")
        assert isinstance(pilot.app.screen, MainScreen)
        await pilot.press("a")
        await shows(pilot, "40000 tcp")
        await pilot.press("G")
        await opened(pilot, host, 40_000)
        await shows(pilot, "not to be freed: a client has it")
        assert "free  " not in text_of(pilot)


async def test_a_row_of_another_namespace_is_acted_on_there() -> None:
    host = WideHost()
    async with host.app().run_test(size=(100, 24)) as pilot:
        await shows(pilot, "8080 tcp")
        await pilot.press("N")
        await shows(pilot, "all namespaces")
        await pilot.press("/", *"container:web2", "enter")
        await shows(pilot, "nginx 5005")
        await pilot.press("space")
        await shows(pilot, "in container web2 (podman), 8080/tcp is held by nginx(5005)")
        await shows(pilot, "nginx(5005) by SIGTERM")
        assert host.visits[-1] == (WEB2.short_name, 8080)
        await pilot.press("enter")
        await shows(pilot, "type 8080 and Enter to do this:")
        host.shut.add(WEB2)
        pilot_of_poll(pilot)
        await shows(pilot, "cannot be entered")


async def test_readonly_hides_the_acts() -> None:
    host = RootHost([app_server()])
    app = host.app(Options(interval_s=3600.0, readonly=True))
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "app 7")
        assert "Space" not in screen_lines(app)[-1]
        await pilot.press("space")
        await shows(pilot, "--readonly disables acts")
        assert isinstance(app.screen, MainScreen)
        titles = {command.title for command in app.get_system_commands(app.screen)}
        assert "Act on the port" not in titles
        assert "Details" in titles
        await pilot.press("?")
        await wait_for(pilot, lambda: isinstance(app.screen, HelpScreen))
        assert "Space" not in text_of(pilot)
        await pilot.press("escape", "enter")
        await wait_for(pilot, lambda: isinstance(app.screen, DetailsScreen))
        await shows(pilot, "Esc back")
        assert "Space" not in screen_lines(app)[-1]
        await pilot.press("space")
        await shows(pilot, "--readonly disables acts")


async def test_the_acts_are_found_by_name() -> None:
    host = RootHost([app_server()])
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "app 7")
        await pilot.press("ctrl+p", *"act on the")
        await shows(pilot, "Act on the port")
        await pilot.press("enter")
        await shows(pilot, "end app(7) by SIGTERM")
        assert isinstance(pilot.app.screen, ActsScreen)


async def test_the_details_of_a_port_of_the_lab_offer_no_acts() -> None:
    host = RootHost([app_server()])
    async with Sandboxes().app(host).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "app 7")
        await pilot.press("l")
        await shows(pilot, "sandbox: free play, waiting")
        lab = pilot.app.screen
        assert isinstance(lab, LabScreen)
        lab.post_message(DetailsWanted(app_server(), host.take(80), Watched(host.take, 80)))
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, DetailsScreen))
        await shows(pilot, "80/tcp is held by app(7)")
        assert "Space" not in text_of(pilot)
        await pilot.press("space")
        await shows(pilot, "the lab has keys of its own for what runs in it")


async def test_a_port_that_cannot_be_looked_at_is_waited_for_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wait_thread, "LOOK_S", 0.0)
    host = WideHost()
    app = host.app()
    async with app.run_test(size=(100, 24)) as pilot:
        await shows(pilot, "8080 tcp")
        await pilot.press("N")
        await shows(pilot, "all namespaces")
        await pilot.press("/", *"container:web2", "enter")
        await shows(pilot, "nginx 5005")
        await pilot.press("space")
        await shows(pilot, "nginx(5005) by SIGTERM")
        await pilot.press("down", "enter")
        await shows(pilot, "waiting for 8080/tcp in container web2 (podman)")
        await pilot.press("space")
        await shows(pilot, "stop waiting")
        await pilot.press("escape")
        host.shut.add(WEB2)
        await shows(pilot, "no longer waiting for 8080/tcp in container web2 (podman): ")
        assert app.act_threads.wait is None


async def test_the_acts_are_shown_while_the_view_is_paused() -> None:
    host = RootHost([app_server()])
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "app 7")
        await pilot.press("p")
        await shows(pilot, "PAUSED")
        await opened(pilot, host)
        await shows(pilot, "by SIGTERM")
        host.ports = []
        pilot_of_poll(pilot)
        await shows(pilot, "80/tcp: nobody has it")
        await pilot.press("escape")
        assert line_with(pilot.app, "app 7")


HOSTILE = ("[/x]", "[@click=app.quit]app[/]", "[b", "$name", "{x}")


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_names_are_only_text(name: str) -> None:
    host = RootHost([app_server(7, name)])
    work = Work(host, is_deaf=True)
    app = host.app(perform=work)
    async with app.run_test(size=(120, 30)) as pilot:
        await shows(pilot, name)
        await opened(pilot, host)
        await shows(pilot, f"end {name}(7) by SIGTERM")
        for y, line in enumerate(screen_lines(app)[:-1]):
            if name in line and isinstance(app.screen, ActsScreen):
                await pilot.click(offset=(line.index(name) + 1, y))
        await wait_for(pilot, lambda: isinstance(app.screen, FreeScreen))
        await shows(pilot, f"{name}(7) of root")
        await pilot.press("8", "0", "enter")
        work.holds.set()
        await shows(pilot, f"to kill {name}(7):")
        await pilot.press("7", "enter")
        await shows(pilot, "the port is free")
        assert app.return_code is None


async def test_ascii_menus_are_ascii() -> None:
    host = RootHost([app_server(7, "日本")])
    app = host.app(Options(interval_s=3600.0, ascii=True))
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, " 80 tcp")
        await opened(pilot, host)
        await shows(pilot, "by SIGTERM")
        assert text_of(pilot).isascii()
        await pilot.press("enter")
        await shows(pilot, "type 80 and Enter")
        assert text_of(pilot).isascii()


async def test_a_long_plan_scrolls_and_keeps_its_question() -> None:
    many = tuple(
        holder(process(pid, "app", parent=7)._replace(start_ticks=1)) for pid in range(7, 20)
    )
    crowd = port(80, listeners=(socket("LISTEN", "0.0.0.0", 80, holders=many),))
    host = RootHost([crowd])
    async with host.app().run_test(size=(80, 14)) as pilot:
        await shows(pilot, "app 7")
        await opened(pilot, host)
        await pilot.press("enter")
        await shows(pilot, "type 80 and Enter to do this:")
        await shows(pilot, "lines 1-")
        await pilot.press("pagedown", "pagedown", "pagedown")
        await shows(pilot, "risk: ")
        assert "type 80 and Enter to do this:" in text_of(pilot)
        assert "80/tcp is held by app(7)" in text_of(pilot)
        for size in ((30, 8), (20, 5), (80, 24)):
            await pilot.resize_terminal(*size)
            await wait_for(pilot, lambda height=size[1]: len(screen_lines(pilot.app)) == height)  # type: ignore[misc]
            assert "type 80" in text_of(pilot)
