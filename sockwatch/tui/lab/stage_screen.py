"""A screen with a stage: what it asks of the lab's thread, and free play on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sockwatch.lab.model import ClientSpec, ServerSpec
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.stage import LOOPBACK
from sockwatch.lab.step import Step
from sockwatch.model import Port
from sockwatch.tui.lab import free_play
from sockwatch.tui.lab.checks import Limits
from sockwatch.tui.lab.client_form import CLIENT_FORM, PATIENCE_S
from sockwatch.tui.lab.form import Form
from sockwatch.tui.lab.news import Member
from sockwatch.tui.lab.server_form import SERVER_FORM
from sockwatch.tui.lab.state import PLACES, LabState
from sockwatch.tui.lab.thread import Command, Do, LabThread, Open, Rehearse, Reset, Stop
from sockwatch.tui.messages import Noticed
from sockwatch.tui.screens.base import BaseScreen
from sockwatch.tui.symbols import Symbols
from sockwatch.tui.watched import Watched


class StageScreen(BaseScreen):
    """A subclass shows the state, and tells what is under the cursors."""

    def __init__(self, symbols: Symbols, thread: LabThread, scenarios: Sequence[Scenario]) -> None:
        super().__init__(symbols)
        self.thread = thread
        self.state = LabState(scenarios)

    @property
    def watched(self) -> Watched | None:
        return self.state.watched

    @property
    def scenario(self) -> Scenario | None:
        """The one under the cursor; None is free play."""
        raise NotImplementedError

    @property
    def member(self) -> Member | None:
        """The process under the cursor."""
        raise NotImplementedError

    @property
    def port(self) -> Port | None:
        """The port under the cursor."""
        raise NotImplementedError

    def follow(self) -> None:
        """Show the last line of the steps from now on."""
        raise NotImplementedError

    def show_on_stage(self) -> None:
        """Put the cursor on the scenario that is on the stage."""
        raise NotImplementedError

    def notice(self, text: str) -> None:
        self.post_message(Noticed(text))

    def ask(self, command: Command) -> None:
        if not isinstance(command, Stop):
            self.state.busy = True
            self.state.problem = ""
            self.notice("")  # it was about what was asked for before
        self.thread.ask(command)

    def has_stage(self) -> bool:
        """Whether there is one; if not, say so."""
        if self.state.watched is not None:
            return True
        self.notice("there is no stage" if self.state.refused else "the stage is being set up")
        return False

    def on_unmount(self) -> None:
        self.thread.close()

    # Scenarios

    def action_run(self) -> None:
        self._rehearse(whole=True)

    def action_step(self) -> None:
        self._rehearse(whole=False)

    def _rehearse(self, *, whole: bool) -> None:
        if not self.has_stage():
            return
        if self.scenario is None:
            self.action_start()
        else:
            self.ask(Rehearse(self.scenario, whole))
            self.follow()

    def action_stop(self) -> None:
        busy = self.state.busy
        self.notice("it stops after the step under way" if busy else "nothing runs")
        self.ask(Stop())

    def action_reset(self) -> None:
        if self.has_stage():
            self.ask(Reset(self.scenario))

    def action_on_host(self) -> None:
        if self.state.refused:
            self.ask(Open("host"))
        elif self.has_stage():
            self.notice(f"the stage is there: {PLACES[self.state.place]}")

    # Free play

    def _do(self, *steps: Step) -> None:
        """On the stage as it is."""
        self.show_on_stage()
        self.ask(Do(steps))
        self.follow()

    def _do_new(self, step: Step) -> None:
        """The same, but on a fresh stage where free play was chosen on that of a scenario."""
        if self._wants_fresh_stage:
            self.ask(Reset(None))
            self.ask(Do((step,)))
            self.follow()
        else:
            self._do(step)

    @property
    def _wants_fresh_stage(self) -> bool:
        return self.scenario is None and not self.state.is_on_stage(None)

    def _cast(self) -> tuple[Member, ...]:
        """The processes that a new one will meet."""
        return () if self._wants_fresh_stage else self.state.cast

    def _limits(self) -> Limits:
        cast = self._cast()
        return Limits(
            self.state.place,
            self.state.many_uids,
            frozenset(member.name for member in cast),
            frozenset(member.name for member in cast if member.stopped),
        )

    def _proposed(self, kind: str) -> str:
        return free_play.proposed_name(kind, [member.name for member in self._cast()])

    def action_start(self) -> None:
        if self.has_stage():
            spec = ServerSpec(address=LOOPBACK) if self.state.place == "host" else ServerSpec()
            name, limits = self._proposed("server"), self._limits()
            form = Form(self.symbols, "Start a server", SERVER_FORM, name, spec, limits)
            self.app.push_screen(form, self._start)

    def _start(self, server: tuple[str, ServerSpec] | None) -> None:
        if server is not None:
            self._do_new(free_play.start(*server))

    def action_connect(self) -> None:
        if not self.has_stage():
            return
        spec = ClientSpec(patience_s=PATIENCE_S)
        candidates = [one for one in (self.member, *self._cast()) if one is not None]
        opened = [spec for one in candidates for spec in one.opened if spec.protocol == "tcp"]
        if opened:
            to = free_play.reached_at(opened[0].address)
            spec = replace(spec, to=to, to_port=opened[0].port)
        name, limits = self._proposed("client"), self._limits()
        form = Form(self.symbols, "Connect clients", CLIENT_FORM, name, spec, limits)
        self.app.push_screen(form, self._connect)

    def _connect(self, client: tuple[str, ClientSpec] | None) -> None:
        if client is not None:
            self._do_new(free_play.connect(*client, self._cast()))

    def _chosen(self) -> Member | None:
        """The process under the cursor; if there is none, say so."""
        if self.has_stage() and self.member is None:
            self.notice("no process is on the stage")
        return self.member

    def action_kill(self) -> None:
        if (member := self._chosen()) is not None:
            self._do(free_play.kill(member.name))

    def action_freeze(self) -> None:
        if (member := self._chosen()) is not None:
            self._do(free_play.stop_or_continue(member))

    def action_restart(self) -> None:
        member = self._chosen()
        if member is None:
            return
        if not member.opened:
            self.notice(f"{member.name} has no socket of a server: K ends it")
            return
        limits, itself = self._limits(), {member.name}
        others = replace(limits, running=limits.running - itself, stopped=limits.stopped - itself)
        title = f"Kill {member.name} and start it again"
        form = Form(self.symbols, title, SERVER_FORM, member.name, member.opened[-1], others)

        def restart(server: tuple[str, ServerSpec] | None) -> None:
            if server is not None:
                self._do(free_play.kill(member.name), free_play.start(*server))

        self.app.push_screen(form, restart)

    def action_disconnect(self) -> None:
        member = self._chosen()
        if member is None:
            return
        if member.stopped:
            self.notice(f"{member.name} is stopped: S lets it go on")
            return
        done = [view.step for view in self.state.play.steps if view.report is not None]
        step = free_play.close_connections(member, self.state.cast, done)
        if isinstance(step, str):
            self.notice(step)
        else:
            self._do(step)

    def action_end_time_waits(self) -> None:
        if not self.has_stage():
            return
        if self.port is None:
            self.notice("no port is in use on the stage")
        else:
            self._do(free_play.end_time_waits(self.port.number))
