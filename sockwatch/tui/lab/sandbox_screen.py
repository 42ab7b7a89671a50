"""A screen with a sandbox: the commands it sends to the lab's thread, and runs of scenarios."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sockwatch.lab.languages.translation import Translation
from sockwatch.lab.quiz import choices
from sockwatch.lab.scenario import Scenario
from sockwatch.model import Port
from sockwatch.tui.lab.events import ProcessView
from sockwatch.tui.lab.lab_commands import (
    LabCommand,
    OpenSandbox,
    Pace,
    Reset,
    RunScenario,
    Stop,
)
from sockwatch.tui.lab.state import LabState
from sockwatch.tui.lab.thread import LabThread
from sockwatch.tui.messages import Noticed
from sockwatch.tui.screens.base import BaseScreen
from sockwatch.tui.symbols import Symbols
from sockwatch.tui.watched import Watched
from sockwatch.view.rehearsal import NETWORK_NAMES

NO_QUESTION: Final = "no question is open: R runs the scenario, and stops at each"


class SandboxScreen(BaseScreen):
    """A subclass shows the state, and says what is under its cursors."""

    def __init__(
        self,
        symbols: Symbols,
        say: Translation,
        thread: LabThread,
        scenarios: Sequence[Scenario],
    ) -> None:
        super().__init__(symbols, offers_acts=False)  # it has keys of its own
        self.say = say
        self.thread = thread
        self.state = LabState(scenarios, say)

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

    def action_start(self) -> None:
        """Free play: start a server."""
        raise NotImplementedError

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
        refused = self.state.refused
        self.notice(self.say("there is no sandbox" if refused else "the sandbox is being set up"))
        return False

    def on_unmount(self) -> None:
        self.thread.close()

    def action_run(self) -> None:
        """Run at reading pace; if that is the pace already, to the end."""
        self._run_scenario("whole" if self._pace_of(self.scenario) == "reading" else "reading")

    def action_go_on(self) -> None:
        """Run at reading pace, or go on at that pace."""
        self._run_scenario("reading")

    def action_step(self) -> None:
        self._run_scenario("step")

    def action_bet(self, number: int) -> None:
        """Bet on an answer to the open question, and go on at the pace of the run."""
        question = self.state.question
        if question is None or not self.state.is_current(self.scenario):
            self.notice(self.say(NO_QUESTION))
        elif number > len(choices(question)):
            self.notice(self.say("there is no answer {number}", number=number))
        else:
            self.state.run.bet_on(choices(question)[number - 1])
            self._run_scenario(self._pace_of(self.scenario))

    def _run_scenario(self, pace: Pace) -> None:
        if not self.has_sandbox():
            return
        if self.scenario is None:
            self.action_start()
        else:
            self.state.paced, self.state.pace = self.scenario, pace
            self.submit(RunScenario(self.scenario, pace))
            self.follow()

    def _pace_of(self, scenario: Scenario | None) -> Pace:
        """The pace that the run of the scenario goes on at."""
        going_on = self.state.paced is scenario and not self.state.run_of(scenario).result
        return self.state.pace if going_on else "step"

    def action_stop(self) -> None:
        self.state.pace = "step"
        busy = self.state.busy
        self.notice(self.say("stopping after the current step" if busy else "nothing is running"))
        self.submit(Stop())

    def action_reset(self) -> None:
        if self.has_sandbox():
            self.state.pace = "step"
            self.submit(Reset(self.scenario))

    def action_on_host(self) -> None:
        if self.state.refused:
            self.submit(OpenSandbox("host"))
        elif self.has_sandbox():
            network = self.say(NETWORK_NAMES[self.state.network])
            self.notice(self.say("the sandbox is there: {network}", network=network))
