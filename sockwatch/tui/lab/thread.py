"""The one thread that uses the sandbox: it carries out commands and reports events."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from queue import SimpleQueue
from typing import Final, TypeAlias

from textual.message import Message

from sockwatch.lab.languages.translation import Translation
from sockwatch.lab.model import Network, SystemCall
from sockwatch.lab.prediction import Prediction
from sockwatch.lab.quiz import choices
from sockwatch.lab.run import Run, run_step
from sockwatch.lab.sandbox import Sandbox
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.session import Session
from sockwatch.lab.step import Step
from sockwatch.model import SockwatchError
from sockwatch.tui.lab import events
from sockwatch.tui.lab.backend import LabBackend
from sockwatch.tui.lab.lab_commands import (
    LabCommand,
    OpenSandbox,
    Pace,
    Reset,
    RunScenario,
    RunSteps,
    Stop,
)
from sockwatch.tui.messages import Crashed, LabReported
from sockwatch.tui.watched import Watched
from sockwatch.view.lines import Line
from sockwatch.view.rehearsal import (
    conclusion,
    prediction_text,
    reading_s,
    step_lines,
    step_title,
)

Post: TypeAlias = Callable[[Message], object]

# Of a step with a thousand connections the first calls are enough.
MOST_CALLS: Final = 40
CALLS_READ: Final = 3  # the others are like them


class LabThread:
    """Takes commands from a queue and posts events as messages; it touches no widget."""

    def __init__(self, backend: LabBackend, say: Translation) -> None:
        self._backend = backend
        self._say = say
        self._commands: SimpleQueue[LabCommand] = SimpleQueue()
        self._submitting = threading.Lock()
        self._submitted = threading.Event()  # set while a command waits
        self._closing = False
        self._network: Network = "own"
        self._sandbox: Sandbox | None = None
        self._session: Session | None = None
        self._run: Run | None = None
        self._touched = False
        self._pace: Pace = "step"
        self._asked = False  # the screen has shown what comes next, and waited
        self._calls = 0
        self._processes: tuple[events.ProcessView, ...] = ()
        # A daemon: a step that waits for a stopped process must not hold up the exit.
        self._thread = threading.Thread(target=self._main, name="sockwatch-lab", daemon=True)

    def start(self, post_event: Post, post_crash: Post) -> None:
        """Take commands from now on. `post_crash` gets an exception that is a bug."""
        self._post_event, self._post_crash = post_event, post_crash
        self._thread.start()

    def submit(self, command: LabCommand) -> None:
        """Queue a command."""
        with self._submitting:
            self._commands.put(command)
            self._submitted.set()

    def close(self) -> None:
        """End the sandbox, even in the middle of a step; drop the commands that wait."""
        self._closing = True
        sandbox = self._sandbox
        if sandbox is not None:
            sandbox.hang_up()
        self.submit(Stop())

    @property
    def ended(self) -> bool:
        """Whether the thread has run and has ended."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def join(self, timeout_s: float) -> None:
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _main(self) -> None:
        try:
            while not self._closing:
                command = self._next()
                if self._closing:
                    break
                try:
                    self._execute(command)
                except SockwatchError as error:
                    self._run = None
                    self._touched = True
                    self._emit(events.Failed(str(error)))
                self._post_processes()
                if self._commands.empty():
                    self._asked = True
                    self._emit(events.Idle())
        except Exception as error:  # noqa: BLE001 - the app raises it again, in its own thread
            _post(self._post_crash, Crashed(error))
        finally:
            self._close_sandbox()

    def _next(self) -> LabCommand:
        command = self._commands.get()
        with self._submitting:
            if self._commands.empty():
                self._submitted.clear()
        return command

    def _execute(self, command: LabCommand) -> None:
        match command:
            case OpenSandbox(network):
                self._network = network
                self._begin(None)
            case RunScenario(scenario, pace):
                self._pace = pace
                self._run_scenario(scenario)
            case Reset(scenario):
                self._begin(scenario)
            case RunSteps(steps) if self._session is not None:
                self._run, self._pace = None, "step"
                for step in steps:
                    if not self._closing:
                        self._step(step, self._session)

    def _run_scenario(self, scenario: Scenario) -> None:
        run = self._run
        if run is None or run.scenario is not scenario or run.done:
            run = self._begin(scenario)
        if run is None:
            return
        while not run.done and not self._stops_at_question(run):
            self._step(run)
            if self._pace == "step" or self._interrupted(self._lines_to_read(run)):
                break
        if run.done:
            skipped = run.skipped is not None
            self._emit(events.RunFinished(run.passed, skipped, conclusion(run, self._say)))

    def _stops_at_question(self, run: Run) -> bool:
        """Whether the next step is a question, and nobody has had the time to answer it."""
        return self._pace == "reading" and not self._asked and bool(choices(run.following))

    def _lines_to_read(self, run: Run) -> Iterator[Line]:
        """What the step has added to the screen; nothing if the run stops at a question now."""
        if not run.done and choices(run.following):
            return
        yield from islice(step_lines(run.reports[-1], self._say, most_calls=CALLS_READ), 1, None)
        if not run.done:
            yield step_title(len(run.reports) + 1, run.following.text)

    def _step(self, of: Run | Step, session: Session | None = None) -> None:
        """The next step of a run, or one of free play."""
        self._touched = True
        self._calls = 0
        if isinstance(of, Run):
            self._asked = False
            self._emit(events.StepStarted(of.following, free=False))
            report = of.next()
        else:
            assert session is not None
            self._emit(events.StepStarted(of, free=True))
            report = run_step(session, of)
        self._emit(events.StepFinished(report))
        self._post_processes()

    def _begin(self, scenario: Scenario | None) -> Run | None:
        """An unused sandbox, and the run of the scenario in it."""
        self._run, self._asked = None, False
        if self._session is None or self._touched:
            self._close_sandbox()
            self._emit(events.SandboxStarting(self._network))
            try:
                sandbox = self._backend.sandbox(self._network)
            except SockwatchError as error:
                self._emit(events.SandboxRefused(self._network, str(error)))
                return None
            self._sandbox, self._touched = sandbox, False
            self._session = Session(sandbox, self._on_call, self._on_prediction)
            watched = Watched(sandbox.take_snapshot, is_outside=self._network == "own")
            self._emit(events.SandboxReady(self._network, watched, sandbox.many_uids))
        self._emit(events.RunStarted(scenario))
        if scenario is not None:
            self._run = Run(scenario, self._session)
        return self._run

    def _close_sandbox(self) -> None:
        if self._sandbox is not None:
            self._sandbox.close()
        self._sandbox = self._session = self._run = None

    def _interrupted(self, lines: Iterable[Line]) -> bool:
        """Whether a command has come, after a pause for human eyes or to read these lines."""
        pause_s = reading_s(lines) if self._pace == "reading" else self._backend.pause_s
        self._backend.wait(self._submitted, pause_s)
        return self._submitted.is_set()

    def _on_call(self, call: SystemCall) -> None:
        self._calls += 1
        if self._calls <= MOST_CALLS:
            self._emit(events.CallMade(call))

    def _on_prediction(self, prediction: Prediction) -> None:
        self._emit(events.Predicted(prediction))
        self._interrupted([Line("text", prediction_text(prediction.outcome, self._say))])

    def _post_processes(self) -> None:
        running = () if self._session is None else self._session.processes
        processes = tuple(
            events.ProcessView(process.name, process.pid, tuple(process.opened), process.stopped)
            for process in running
        )
        if processes != self._processes:
            self._processes = processes
            self._emit(events.ProcessesChanged(processes))

    def _emit(self, event: events.LabEvent) -> None:
        _post(self._post_event, LabReported(event))


def _post(post: Post, message: Message) -> None:
    try:
        post(message)
    except RuntimeError:  # the event loop is closed: the app has ended
        return
