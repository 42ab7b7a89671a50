"""The lab: scenarios and processes, the steps as they happen, and the ports of the sandbox."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from sockwatch.lab.languages.translation import Translation
from sockwatch.lab.scenario import Scenario
from sockwatch.model import Port, Snapshot
from sockwatch.tui.commands import MOVE_COMMANDS, bindings
from sockwatch.tui.lab import events
from sockwatch.tui.lab.free_play_screen import FreePlayScreen
from sockwatch.tui.lab.keys import LAB_COMMANDS, LAB_FOOTERS
from sockwatch.tui.lab.lab_commands import OpenSandbox
from sockwatch.tui.lab.lab_header import LabHeader
from sockwatch.tui.lab.pane_title import PaneTitle
from sockwatch.tui.lab.process_list import ProcessList, process_text
from sockwatch.tui.lab.run_lines import RunLines, no_sandbox
from sockwatch.tui.lab.sandbox_ports import COVER, SandboxPorts, SandboxTable
from sockwatch.tui.lab.scenario_list import ScenarioList
from sockwatch.tui.lab.shown_lines import ShownLines, shown
from sockwatch.tui.lab.state import RunView
from sockwatch.tui.lab.thread import LabThread
from sockwatch.tui.legend import lab_legend
from sockwatch.tui.messages import DetailsWanted, LabReported, WatchChanged
from sockwatch.tui.symbols import Symbols
from sockwatch.tui.widgets.footer_bar import FooterBar
from sockwatch.tui.widgets.panel import Panel
from sockwatch.tui.widgets.port_table import PortTable
from sockwatch.tui.widgets.scroll_lines import ScrollLines
from sockwatch.tui.widgets.status_line import StatusLine
from sockwatch.view.look import Look
from sockwatch.view.rehearsal import NETWORK_NAMES, explanation_lines, score_text


class LabScreen(FreePlayScreen):
    """The screen of the lab. The keys go to one of its lists."""

    BINDINGS: ClassVar = bindings((*LAB_COMMANDS, *MOVE_COMMANDS))
    COMMAND_TABLE = (*LAB_COMMANDS, *MOVE_COMMANDS)
    HELP_TITLE = "Lab"

    def __init__(
        self,
        symbols: Symbols,
        say: Translation,
        thread: LabThread,
        scenarios: Sequence[Scenario],
    ) -> None:
        super().__init__(symbols, say, thread, scenarios)
        self.VERTICAL_BREAKPOINTS = [(0, "-tiny"), (16, "-low"), (22, "-usual"), (36, "-tall")]
        self.HORIZONTAL_BREAKPOINTS = [(0, "-slim"), (100, "-wide")]
        self._focus_name = "scenarios"
        self._run_lines = RunLines(say)
        self._with_calls = True
        self._explaining = False
        self._poll_error = ""

    def compose(self) -> ComposeResult:
        yield LabHeader()
        with Horizontal(id="lab-top"):
            with Vertical(id="lab-left"):
                yield PaneTitle(self.say("SCENARIOS"), id="scenarios-title")
                yield ScenarioList()
                yield PaneTitle(self.say("PROCESSES"), id="processes-title")
                yield ProcessList()
            with Vertical(id="lab-right"):
                yield PaneTitle(self.say("STEPS"), id="steps-title")
                yield ShownLines(id="steps")
        yield SandboxTable()
        yield Panel()
        yield ShownLines(id="explanation")
        yield StatusLine()
        yield FooterBar(LAB_FOOTERS["scenarios"])

    def ready(self) -> None:
        self._ports = SandboxPorts(self.query_one(SandboxTable), self.query_one(Panel), self.say)
        self.query_one(ProcessList).say = self.say
        self.query_one(FooterBar).say = self.say
        self._lists: dict[str, ScrollLines] = {
            "scenarios": self.query_one(ScenarioList),
            "processes": self.query_one(ProcessList),
            "steps": self.query_one("#steps", ShownLines),
            "ports": self.query_one(PortTable),
            "explanation": self.query_one("#explanation", ShownLines),
        }
        self._lists["scenarios"].cursor = min(1, len(self.state.scenarios) - 1)
        self.thread.start(self.post_message, self.app.post_message)
        self.submit(OpenSandbox("own"))
        self._go_to("scenarios")

    def legend(self) -> Iterator[tuple[str, str]]:
        yield from lab_legend(self.symbols)

    # What is shown

    @property
    def lines(self) -> ScrollLines:
        return self._lists[self._focus_name]

    @property
    def table(self) -> PortTable:
        return self.query_one(PortTable)

    @property
    def steps(self) -> ShownLines:
        return self.query_one("#steps", ShownLines)

    @property
    def process(self) -> events.ProcessView | None:
        return self.query_one(ProcessList).process

    @property
    def port(self) -> Port | None:
        return self.table.row

    @property
    def scenario(self) -> Scenario | None:
        return self.state.scenarios[self._lists["scenarios"].cursor]

    @property
    def _run(self) -> RunView:
        return self.state.run_of(self.scenario)

    def on_lab_reported(self, message: LabReported) -> None:
        event = message.event
        self.state.apply(event)
        if not self.drawable:
            return
        match event:
            case events.SandboxStarting():
                self.query_one(LabHeader).forget()
                self._ports.forget()
                self.post_message(WatchChanged())
            case events.SandboxReady():
                self._ports.start_afresh()
                self.fresh = True
                self.post_message(WatchChanged())
            case events.RunStarted() if self.state.is_current(self.scenario):
                self.follow()
            case events.StepFinished():
                self.call_later(self.run_action, "app.poll_now")
        self.draw()

    def show(self, snapshot: Snapshot) -> None:
        snapshot = replace(snapshot, ports=self.state.shown_ports(snapshot))
        self.query_one(LabHeader).show(Look.of(snapshot))
        self._ports.show(snapshot)
        self._draw_titles()

    def show_error(self, text: str) -> None:
        self._poll_error = text
        self.query_one(StatusLine).show_error(self.state.problem or text)

    def follow(self) -> None:
        self.steps.following = True

    def show_current(self) -> None:
        scenarios = self._lists["scenarios"]
        scenarios.cursor = self.state.current_row
        scenarios.show_cursor()

    def draw(self) -> None:
        """Draw everything but the ports, which come with the snapshots."""
        if not self.drawable:
            return
        state = self.state
        refused = bool(state.refused)
        network = self.say("no sandbox" if refused else NETWORK_NAMES[state.network])
        warn = refused or state.network == "host"
        header = self.query_one(LabHeader)
        header.show_network(network, "-warn" if warn else "")
        header.show_score(score_text(state.score, self.say) if state.score.bets else "")
        self.query_one(ScenarioList).show(state, self.say)
        self.query_one(ProcessList).show(state.processes)
        self._draw_steps()
        self._draw_explanation()
        self._ports.cover(covered=self.state.covered)
        self._draw_titles()

    def _draw_steps(self) -> None:
        width = self.steps.text_width
        if self.state.watched is None:
            self.steps.show(list(shown(no_sandbox(self.state.refused, self.say), width)))
        else:
            question = self.state.question if self.state.is_current(self.scenario) else None
            lines = self._run_lines.of(self._run, width, calls=self._with_calls, question=question)
            self.steps.show(lines)

    def _draw_explanation(self) -> None:
        box = self.query_one("#explanation", ShownLines)
        run = self._run
        self._explaining = self._explaining and bool(run.steps)
        if box.display != self._explaining:
            box.display = self._explaining
            self.table.display = self.query_one(Panel).display = not self._explaining
            if not self._explaining and self._focus_name == "explanation":
                self._go_to("steps")
        if self._explaining:
            line = self.steps.shown
            index = line.step if line is not None and line.step is not None else -1
            lines = explanation_lines(run.steps[index], self.say)
            box.show(list(shown(lines, self.size.width - 1)))

    def _draw_titles(self) -> None:
        focus, scenario = self._focus_name, self.scenario
        for name in ("scenarios", "processes"):
            title = self.query_one(f"#{name}-title", PaneTitle)
            title.show(self.say(name.upper()), in_focus=focus == name)
        name = self.say("free play") if scenario is None else f"{scenario.number} {scenario.name}"
        right = "" if self._with_calls else self.say("without calls")
        steps = self.query_one("#steps-title", PaneTitle)
        steps.show(f"{self.say('STEPS')}  {name}", right, in_focus=focus == "steps")
        refused = self.state.refused and self.state.watched is None
        self.query_one(FooterBar).show_commands(LAB_FOOTERS["refused" if refused else focus])
        status = self.query_one(StatusLine)
        status.show_error(self.state.problem or self._poll_error)
        status.show(self._focus_text(), self.state.sandbox_text)

    def _focus_text(self) -> str:
        lines = self.lines
        process = self.process
        if self._focus_name == "processes" and process is not None:
            return process_text(process, self.say)
        return self.say(
            "{list}: {line} of {lines}",
            list=self.say(self._focus_name),
            line=lines.cursor + 1 if lines.total else 0,
            lines=lines.total,
        )

    def on_resize(self) -> None:
        self.call_after_refresh(self.draw)

    # Where the keys go

    def _go_to(self, name: str) -> None:
        self._focus_name = name
        for key, lines in self._lists.items():
            lines.set_focus(here=key == name)
        self.draw()

    def action_next_list(self, by: int) -> None:
        names = ["scenarios", "processes", "steps", "ports"]
        if self._explaining:
            names[-1] = "explanation"
        index = names.index(self._focus_name)
        self._go_to(names[(index + by) % len(names)])

    def on_scroll_lines_moved(self, event: ScrollLines.Moved) -> None:
        name = next(key for key, lines in self._lists.items() if lines is event.lines)
        if name == "scenarios":
            self.steps.cursor = self.steps.top = 0
            self.steps.following = bool(self._run.steps) and self.state.is_current(self.scenario)
        elif name == "ports":
            self._ports.draw_panel()
        self._go_to(name)

    def on_port_table_opened(self) -> None:
        self._open_port()

    # What the keys do

    def action_calls(self) -> None:
        self._with_calls = not self._with_calls
        self.draw()

    def action_enter(self) -> None:
        match self._focus_name:
            case "scenarios":
                self.action_go_on()
            case "processes":
                self.action_restart()
            case "ports":
                self._open_port()
            case _:
                self._explain()

    def _explain(self) -> None:
        if not self._run.steps:
            self.notice(self.say("no step has been run yet"))
            return
        self._explaining = not self._explaining
        self.draw()

    def _open_port(self) -> None:
        if self._ports.covered:
            self.notice(self.say(COVER[0]))
            return
        port, snapshot, watched = self.port, self._ports.snapshot, self.watched
        if port is not None and snapshot is not None and watched is not None:
            self.post_message(DetailsWanted(port, snapshot, watched.only(port.number)))

    async def action_back(self) -> None:
        """Close the explanation; if it is not open, leave the lab, which ends the sandbox."""
        if self._explaining:
            self._explaining = False
            self.draw()
        else:
            self.thread.close()
            await self.run_action("app.leave_screen")
