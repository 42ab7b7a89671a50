"""A screen with a sandbox: the keys and forms of free play."""

from __future__ import annotations

from dataclasses import replace

from sockwatch.lab.model import LOOPBACK, ClientSpec, ServerSpec
from sockwatch.lab.step import Step
from sockwatch.tui.lab import free_play
from sockwatch.tui.lab.checks import Limits
from sockwatch.tui.lab.client_form import CLIENT_FORM, PATIENCE_S
from sockwatch.tui.lab.events import ProcessView
from sockwatch.tui.lab.form import Form
from sockwatch.tui.lab.lab_commands import Reset, RunSteps
from sockwatch.tui.lab.sandbox_screen import SandboxScreen
from sockwatch.tui.lab.server_form import SERVER_FORM


class FreePlayScreen(SandboxScreen):
    """Runs steps that belong to no scenario, in the sandbox as it is or in a fresh one."""

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
            form = Form(
                self.symbols, self.say, self.say("Start a server"), SERVER_FORM, name, spec, limits
            )
            self.app.push_screen(form, self._start)

    def _start(self, server: tuple[str, ServerSpec] | None) -> None:
        if server is not None:
            self._do_new(free_play.start(*server, self.say))

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
        form = Form(
            self.symbols, self.say, self.say("Connect clients"), CLIENT_FORM, name, spec, limits
        )
        self.app.push_screen(form, self._connect)

    def _connect(self, client: tuple[str, ClientSpec] | None) -> None:
        if client is not None:
            self._do_new(free_play.connect(*client, self._processes(), self.say))

    def _chosen(self) -> ProcessView | None:
        """The process under the cursor; if there is none, say so."""
        if self.has_sandbox() and self.process is None:
            self.notice(self.say("no process is in the sandbox"))
        return self.process

    def action_kill(self) -> None:
        if (process := self._chosen()) is not None:
            self._do(free_play.kill(process.name, self.say))

    def action_freeze(self) -> None:
        if (process := self._chosen()) is not None:
            self._do(free_play.stop_or_continue(process, self.say))

    def action_restart(self) -> None:
        process = self._chosen()
        if process is None:
            return
        if not process.opened:
            self.notice(self.say("{name} has no server socket: K kills it", name=process.name))
            return
        limits, itself = self._limits(), {process.name}
        others = replace(limits, running=limits.running - itself, stopped=limits.stopped - itself)
        title = self.say("Kill {name} and start it again", name=process.name)
        form = Form(
            self.symbols, self.say, title, SERVER_FORM, process.name, process.opened[-1], others
        )

        def restart(server: tuple[str, ServerSpec] | None) -> None:
            if server is not None:
                self._do(free_play.kill(process.name, self.say), free_play.start(*server, self.say))

        self.app.push_screen(form, restart)

    def action_disconnect(self) -> None:
        process = self._chosen()
        if process is None:
            return
        if process.stopped:
            self.notice(self.say("{name} is stopped: S resumes it", name=process.name))
            return
        done = [report.step for report in self.state.run.steps if report.done]
        step = free_play.close_connections(process, self.state.processes, done, self.say)
        if isinstance(step, str):
            self.notice(step)
        else:
            self._do(step)

    def action_end_time_waits(self) -> None:
        if not self.has_sandbox():
            return
        if self.port is None:
            self.notice(self.say("no port is in use in the sandbox"))
        else:
            self._do(free_play.end_time_waits(self.port.number, self.say))
