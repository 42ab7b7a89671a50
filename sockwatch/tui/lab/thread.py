"""The one thread that uses the stage: it does what the screen asks for and tells what happens."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final, TypeAlias

from textual.message import Message

from sockwatch.lab.model import Call
from sockwatch.lab.narration import conclusion
from sockwatch.lab.prediction import Prediction
from sockwatch.lab.rehearsal import Play, Rehearsal
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.stage import Place
from sockwatch.lab.step import Step
from sockwatch.model import SockwatchError
from sockwatch.tui.lab import news
from sockwatch.tui.lab.backend import LabBackend
from sockwatch.tui.lab.guarded import GuardedStage
from sockwatch.tui.messages import Crashed, LabTold
from sockwatch.tui.watched import Watched

Post: TypeAlias = Callable[[Message], object]

# Of a step with a thousand connections the first calls say it all.
MOST_CALLS: Final = 40


@dataclass(frozen=True, slots=True)
class Open:
    """Set a stage up."""

    place: Place


@dataclass(frozen=True, slots=True)
class Rehearse:
    """The next step of the scenario, or the `whole` rest of it; once it is over, from its start."""

    scenario: Scenario
    whole: bool


@dataclass(frozen=True, slots=True)
class Reset:
    """A fresh stage for the scenario, or for free play."""

    scenario: Scenario | None


@dataclass(frozen=True, slots=True)
class Do:
    """Free play: these steps on the stage as it is. The scenario on it does not go on."""

    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """Do nothing more after the step under way, as with every command that comes meanwhile."""


Command: TypeAlias = Open | Rehearse | Reset | Do | Stop


class LabThread:
    """Commands come through a queue, news go out as messages; no widget is touched."""

    def __init__(self, backend: LabBackend) -> None:
        self._backend = backend
        self._commands: SimpleQueue[Command] = SimpleQueue()
        self._asked = threading.Event()
        self._closing = False
        self._place: Place = "own"
        self._stage: GuardedStage | None = None
        self._rehearsal: Rehearsal | None = None
        self._play: Play | None = None
        self._touched = False
        self._calls = 0
        self._cast: tuple[news.Member, ...] = ()
        # A daemon: a step that waits for a stopped process must not hold up the exit.
        self._thread = threading.Thread(target=self._run, name="sockwatch-lab", daemon=True)

    def start(self, tell: Post, crash: Post) -> None:
        """Take commands from now on; `crash` gets what is a bug."""
        self._tell_post, self._crash_post = tell, crash
        self._thread.start()

    def ask(self, command: Command) -> None:
        self._commands.put(command)
        self._asked.set()

    def close(self) -> None:
        """End the stage, also in the middle of a step; what else was asked for is left."""
        self._closing = True
        stage = self._stage
        if stage is not None:
            stage.stage.hang_up()
        self.ask(Stop())

    @property
    def ended(self) -> bool:
        """Whether the thread has run and is over."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def join(self, timeout_s: float) -> None:
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while not self._closing:
                command = self._next()
                if self._closing:
                    break
                try:
                    self._obey(command)
                except SockwatchError as error:
                    self._play = None
                    self._touched = True
                    self._tell(news.Failed(str(error)))
                self._tell_cast()
                if self._commands.empty():
                    self._tell(news.Idle())
        except Exception as error:  # noqa: BLE001 - the app raises it again, in its own thread
            _post(self._crash_post, Crashed(error))
        finally:
            self._end_stage()

    def _next(self) -> Command:
        self._asked.clear()
        return self._commands.get()

    def _obey(self, command: Command) -> None:
        match command:
            case Open(place):
                self._place = place
                self._begin(None)
            case Rehearse(scenario, whole):
                self._rehearse(scenario, whole=whole)
            case Reset(scenario):
                self._begin(scenario)
            case Do(steps) if self._rehearsal is not None:
                self._play = None
                for step in steps:
                    if not self._closing:
                        self._step(step, self._rehearsal)

    def _rehearse(self, scenario: Scenario, *, whole: bool) -> None:
        play = self._play
        if play is None or play.scenario is not scenario or play.done:
            play = self._begin(scenario)
        going_on = play is not None
        while going_on and play is not None and not play.done:
            self._step(play)
            going_on = whole and not self._interrupted()
        if play is not None and play.done:
            skipped = play.skipped is not None
            self._tell(news.PlayEnded(play.passed, skipped, conclusion(play)))

    def _step(self, of: Play | Step, rehearsal: Rehearsal | None = None) -> None:
        """The next step of a play, or one of free play."""
        self._touched = True
        self._calls = 0
        if isinstance(of, Play):
            self._tell(news.StepBegins(of.scenario.steps[len(of.reports)], free=False))
            report = of.next()
        else:
            assert rehearsal is not None
            self._tell(news.StepBegins(of, free=True))
            report = rehearsal.run(of)
        self._tell(news.StepDone(report))
        self._tell_cast()

    def _begin(self, scenario: Scenario | None) -> Play | None:
        """A stage on which nothing was done yet, and the play of the scenario."""
        self._play = None
        if self._rehearsal is None or self._touched:
            self._end_stage()
            self._tell(news.StageComing(self._place))
            try:
                stage = GuardedStage(self._backend.stage(self._place))
            except SockwatchError as error:
                self._tell(news.StageRefused(self._place, str(error)))
                return None
            self._stage, self._touched = stage, False
            self._rehearsal = Rehearsal(stage.stage, self._called, self._foretold)
            watched = Watched(stage.look)
            self._tell(news.StageReady(self._place, watched, stage.stage.many_uids))
        self._tell(news.PlayBegins(scenario))
        if scenario is not None:
            self._play = Play(scenario, self._rehearsal)
        return self._play

    def _end_stage(self) -> None:
        if self._stage is not None:
            self._stage.close()
        self._stage = self._rehearsal = self._play = None

    def _interrupted(self) -> bool:
        """Whether something was asked for, after a while for human eyes."""
        if self._commands.empty():
            self._asked.wait(self._backend.pause_s)
        return not self._commands.empty()

    def _called(self, call: Call) -> None:
        self._calls += 1
        if self._calls <= MOST_CALLS:
            self._tell(news.Called(call))

    def _foretold(self, prediction: Prediction) -> None:
        self._tell(news.Foretold(prediction.outcome))
        self._interrupted()

    def _tell_cast(self) -> None:
        actors = () if self._rehearsal is None else self._rehearsal.cast
        cast = tuple(
            news.Member(one.name, one.pid, tuple(one.opened), one.stopped) for one in actors
        )
        if cast != self._cast:
            self._cast = cast
            self._tell(news.CastChanged(cast))

    def _tell(self, one: news.News) -> None:
        _post(self._tell_post, LabTold(one))


def _post(post: Post, message: Message) -> None:
    try:
        post(message)
    except RuntimeError:  # the event loop is closed: the app has ended
        return
