"""A screen with a sandbox: the commands it sends to the lab's thread, and free play."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sockwatch.lab.model import LOOPBACK, ClientSpec, ServerSpec
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.step import Step
from sockwatch.model import Port
from sockwatch.tui.lab import free_play
from sockwatch.tui.lab.checks import Limits
from sockwatch.tui.lab.client_form import CLIENT_FORM, PATIENCE_S
from sockwatch.tui.lab.events import ProcessView
from sockwatch.tui.lab.form import Form
from sockwatch.tui.lab.server_form import SERVER_FORM
from sockwatch.tui.lab.state import LabState
from sockwatch.tui.lab.thread import (
    LabCommand,
    LabThread,
    OpenSandbox,
    Reset,
    RunScenario,
    RunSteps,
    Stop,
)
from sockwatch.tui.messages import Noticed
from sockwatch.tui.screens.base import BaseScreen
from sockwatch.tui.symbols import Symbols
from sockwatch.tui.watched import Watched
from sockwatch.view.rehearsal import NETWORK_NAMES


class SandboxScreen(BaseScreen):
    """A subclass shows the state, and says what is under its cursors."""

    def __init__(self, symbols: Symbols, thread: LabThread, scenarios: Sequence[Scenario]) -> None:
        super().__init__(symbols)
        self.thread = thread
        self.state = LabState(scenarios)

    @property
    def watched(self) -> Watched | None:
        return self.state.watched

    @property
    def scenario(self) -> Scenario | None:
        """The scenario under the cursor; None means free play."""
        raise NotImplementedError

    @property
    def process(self) -> ProcessView | None:
        """The process under the cursor."""
        raise NotImplementedError

    @property
    def port(self) -> Port | None:
        """The port under the cursor."""
        raise NotImplementedError

    def follow(self) -> None:
        """Show the last line of the steps from now on."""
        raise NotImplementedError

    def show_current(self) -> None:
        """Put the cursor on the scenario of the sandbox."""
        raise NotImplementedError

    def notice(self, text: str) -> None:
        self.post_message(Noticed(text))

    def submit(self, command: LabCommand) -> None:
        if not isinstance(command, Stop):
            self.state.busy = True
            self.state.problem = ""
            self.notice("")  # it was about what was asked for before
        self.thread.submit(command)

    def has_sandbox(self) -> bool:
        """Whether there is a sandbox; if not, say so."""
        if self.state.watched is not None:
            return True
        self.notice("there is no sandbox" if self.state.refused else "the sandbox is being set up")
        return False

    def on_unmount(self) -> None:
        self.thread.close()

    # Scenarios

    def action_run(self) -> None:
        self._run_scenario(whole=True)

    def action_step(self) -> None:
        self._run_scenario(whole=False)

    def _run_scenario(self, *, whole: bool) -> None:
        if not self.has_sandbox():
            return
        if self.scenario is None:
            self.action_start()
        else:
            self.submit(RunScenario(self.scenario, whole))
            self.follow()

    def action_stop(self) -> None:
        busy = self.state.busy
        self.notice("stopping after the current step" if busy else "nothing is running")
        self.submit(Stop())

    def action_reset(self) -> None:
        if self.has_sandbox():
            self.submit(Reset(self.scenario))

    def action_on_host(self) -> None:
        if self.state.refused:
            self.submit(OpenSandbox("host"))
        elif self.has_sandbox():
            self.notice(f"the sandbox is there: {NETWORK_NAMES[self.state.network]}")

    # Free play

    def _do(self, *steps: Step) -> None:
        """Run steps in the sandbox as it is."""
        self.show_current()
        self.submit(RunSteps(steps))
        self.follow()

    def _do_new(self, step: Step) -> None:
        """Run a step; in a fresh sandbox if free play is chosen and the sandbox is a scenario's."""
        if self._wants_fresh_sandbox:
            self.submit(Reset(None))
            self.submit(RunSteps((step,)))
            self.follow()
        else:
            self._do(step)

    @property
    def _wants_fresh_sandbox(self) -> bool:
        return self.scenario is None and not self.state.is_current(None)

    def _processes(self) -> tuple[ProcessView, ...]:
        """The processes that a new one will share the sandbox with."""
        return () if self._wants_fresh_sandbox else self.state.processes

    def _limits(self) -> Limits:
        processes = self._processes()
        return Limits(
            self.state.network,
            self.state.many_uids,
            frozenset(process.name for process in processes),
            frozenset(process.name for process in processes if process.stopped),
        )

    def _proposed(self, kind: str) -> str:
        return free_play.proposed_name(kind, [process.name for process in self._processes()])

    def action_start(self) -> None:
        if self.has_sandbox():
            spec = ServerSpec(address=LOOPBACK) if self.state.network == "host" else ServerSpec()
            name, limits = self._proposed("server"), self._limits()
            form = Form(self.symbols, "Start a server", SERVER_FORM, name, spec, limits)
            self.app.push_screen(form, self._start)

    def _start(self, server: tuple[str, ServerSpec] | None) -> None:
        if server is not None:
            self._do_new(free_play.start(*server))

    def action_connect(self) -> None:
        if not self.has_sandbox():
            return
        spec = ClientSpec(patience_s=PATIENCE_S)
        candidates = [one for one in (self.process, *self._processes()) if one is not None]
        opened = [spec for one in candidates for spec in one.opened if spec.protocol == "tcp"]
        if opened:
            to = free_play.reached_at(opened[0].address)
            spec = replace(spec, to=to, to_port=opened[0].port)
        name, limits = self._proposed("client"), self._limits()
        form = Form(self.symbols, "Connect clients", CLIENT_FORM, name, spec, limits)
        self.app.push_screen(form, self._connect)

    def _connect(self, client: tuple[str, ClientSpec] | None) -> None:
        if client is not None:
            self._do_new(free_play.connect(*client, self._processes()))

    def _chosen(self) -> ProcessView | None:
        """The process under the cursor; if there is none, say so."""
        if self.has_sandbox() and self.process is None:
            self.notice("no process is in the sandbox")
        return self.process

    def action_kill(self) -> None:
        if (process := self._chosen()) is not None:
            self._do(free_play.kill(process.name))

    def action_freeze(self) -> None:
        if (process := self._chosen()) is not None:
            self._do(free_play.stop_or_continue(process))

    def action_restart(self) -> None:
        process = self._chosen()
        if process is None:
            return
        if not process.opened:
            self.notice(f"{process.name} has no server socket: K kills it")
            return
        limits, itself = self._limits(), {process.name}
        others = replace(limits, running=limits.running - itself, stopped=limits.stopped - itself)
        title = f"Kill {process.name} and start it again"
        form = Form(self.symbols, title, SERVER_FORM, process.name, process.opened[-1], others)

        def restart(server: tuple[str, ServerSpec] | None) -> None:
            if server is not None:
                self._do(free_play.kill(process.name), free_play.start(*server))

        self.app.push_screen(form, restart)

    def action_disconnect(self) -> None:
        process = self._chosen()
        if process is None:
            return
        if process.stopped:
            self.notice(f"{process.name} is stopped: S resumes it")
            return
        done = [report.step for report in self.state.run.steps if report.done]
        step = free_play.close_connections(process, self.state.processes, done)
        if isinstance(step, str):
            self.notice(step)
        else:
            self._do(step)

    def action_end_time_waits(self) -> None:
        if not self.has_sandbox():
            return
        if self.port is None:
            self.notice("no port is in use in the sandbox")
        else:
            self._do(free_play.end_time_waits(self.port.number))
