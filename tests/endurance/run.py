"""One run: the program and the load side by side, keys all the time, and what came of it."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.bench.crowds import established, plain_client
from tests.endurance import counts, gauges, pace
from tests.endurance.gauges import Gauge
from tests.endurance.keys import TOUR, Keys
from tests.endurance.load import Done
from tests.endurance.load_process import LoadProcess
from tests.endurance.program import Watched
from tests.support.netns import fresh_netns
from tests.tui.terminal import not_restored

PATIENCE_S = 30.0
EXPIRED_S = 100.0  # by then the TIME_WAITs that were left have gone
PROGRESS_S = 60.0
ALIKE = 5  # times in a row that the fds are the same before they count as settled
READ_S = 0.05
DRAWN_S = 0.25  # without a byte, and what a look has told is on the screen
STANDING_PORT = 11_000
PER_ADDRESS = 10_000  # clients: fewer than there are ephemeral ports


@dataclass(frozen=True, slots=True)
class Plan:
    """`most_time_waits` is where the kernel makes no more: what memory gets level at, how soon.

    Each watch for failures is a thread anew, with memory of its own from the allocator: it takes
    minutes until that is level. Without `host_wide` they are watched once, before the keys, and
    other network namespaces are not looked at.
    `standing` connections are there all along, with both ends; one at least.
    """

    seconds: float
    standing: int
    interval_s: float = 1.0
    most_time_waits: int = 1_000_000
    gauge_every_s: float = 1.0
    seed: int = 1
    host_wide: bool = True


@dataclass(slots=True)
class Compared:
    """sockwatch beside `ss` once the load has stopped."""

    by_ss: counts.Counts
    exact: bool  # ss counted the same before and after
    differences: list[str]
    gaps: list[str]
    on_screen: str


@dataclass(slots=True)
class Found:
    """What came of a run."""

    plan: Plan
    done: Done
    judgement: pace.Judgement
    gauges: list[Gauge]
    files_before: Counter[str]
    files_after: Counter[str]
    at_stop: Compared
    at_rest: Compared
    refused_looks: int
    screens: Counter[str]
    keys: int
    sent_bytes: int
    exit_code: int
    not_restored: list[str]
    shown_faults: list[str]


@dataclass(slots=True)
class _Run:
    plan: Plan
    program: Watched
    load: LoadProcess
    keys: Keys
    gauges: list[Gauge] = field(default_factory=list)

    def drive(self, keys: Iterator[tuple[str, float]], until: Callable[[], bool]) -> None:
        """Press them, and read what comes, until something is so or they are all pressed."""
        due = time.monotonic()
        while not until():
            now = time.monotonic()
            if now >= due:
                pressed = next(keys, None)
                if pressed is None:
                    return
                self.program.press(pressed[0])
                due = now + pressed[1]
            self._read(min(READ_S, max(0.0, due - now)))

    def wait(self, until: Callable[[], bool], what: str) -> None:
        """Read what comes until something is so. Raises TimeoutError."""
        deadline = time.monotonic() + PATIENCE_S
        while not until():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}; on the screen:\n{self.program.display.text}")
            self._read(READ_S)

    def _read(self, timeout_s: float) -> None:
        self.program.read(timeout_s)
        self.load.read()
        if not self.load.alive:
            raise RuntimeError("the load has ended")
        if self.program.process.poll() is not None:
            self.program.wait_exit()
            raise RuntimeError(f"sockwatch has ended: {self.program.output[-2000:]!r}")

    def progress(self, seconds: float) -> str:
        last, done = self.gauges[-1], self.load.done
        return (
            f"{seconds / 60:5.1f} min  {done.connections:,} connections, {done.processes:,} "
            f"processes, {done.ports:,} ports; {len(self.program.ended):,} looks, "
            f"{self.keys.pressed:,} keys; {last.resident_kb / 1000:.1f} MB, {last.fds} fds, "
            f"{last.threads} threads; {self.program.display.lines[0].strip()}"
        )

    def gauge(self) -> None:
        now = time.monotonic()
        if not self.gauges or now >= self.gauges[-1].at + self.plan.gauge_every_s:
            self.gauges.append(gauges.read(self.program.process.pid, now))

    def settled_files(self) -> Counter[str]:
        """The open files between two looks, when they have been the same for some time."""
        last: Counter[str] = Counter()
        alike = 0
        deadline = time.monotonic() + PATIENCE_S
        while alike < ALIKE and time.monotonic() < deadline:
            looks = len(self.program.begun)
            files = gauges.open_files(self.program.process.pid)
            self._read(READ_S)
            if not self.program.looking and looks == len(self.program.begun):
                alike = alike + 1 if files == last else 0
                last = files
        return last

    def go_home(self) -> None:
        """To the table of all ports. By way of the help: a palette leaves the table to be seen."""
        program = self.program
        deadline = time.monotonic() + PATIENCE_S
        for keys, there in (
            (self.keys.to_help(), lambda: program.screen == "help"),
            (self.keys.to_table(program.display), self.is_home),
        ):
            self.drive(keys, lambda there=there: there() or time.monotonic() > deadline)  # type: ignore[misc]
        if not self.is_home():
            raise TimeoutError(f"no way back to the table of ports:\n{program.display.text}")

    def is_home(self) -> bool:
        program = self.program
        return (
            program.screen == "ports"
            and program.headers[-1].word != "PAUSED"
            and not program.all_namespaces
            and "filter" not in program.display.text.rpartition("\n")[0]
        )

    def table(self, *, folded: bool) -> list[str]:
        """The table of all ports after a look anew, with client ports folded or each of them."""
        program = self.program
        self._look_anew("r")
        if counts.is_folded(program.display.lines) is not folded:
            self._look_anew("a")
        return list(program.display.lines)

    def _look_anew(self, key: str) -> None:
        """Press the key, and wait until what a look since then has told is on the screen."""
        program = self.program
        looks = len(program.begun)
        program.press(key)
        self.wait(lambda: len(program.ended) + len(program.refused) > looks, "no look")
        sent, since = program.sent_bytes, time.monotonic()
        while time.monotonic() < since + DRAWN_S:
            self._read(READ_S)
            if program.sent_bytes > sent:
                sent, since = program.sent_bytes, time.monotonic()

    def compare(self, *, exactly: bool) -> Compared:
        """Until sockwatch and its screen show what `ss` does, or our patience is over.

        TIME_WAITs expire between two counts; `exactly` waits until none has.
        """
        deadline = time.monotonic() + EXPIRED_S
        while True:
            if not self.is_home():
                self.go_home()
            before = counts.by_ss()
            found, gaps = counts.by_sockwatch()
            each, gaps_of_each = counts.by_sockwatch("--all")
            each_shown, shown = self.table(folded=False), self.table(folded=True)
            after = counts.by_ss()
            wrong = counts.differences(before.folded, found.folded, after.folded)
            wrong += counts.differences(before, each, after)
            for lines in (shown, each_shown):
                wrong += counts.screen_differences(before, lines, after)
            settled = not wrong and (before == after or not exactly)
            if settled or time.monotonic() > deadline:
                gaps = [*dict.fromkeys(gaps + gaps_of_each)]
                return Compared(after, before == after, wrong, gaps, shown[0].strip())


def run(plan: Plan, tell: Callable[[str], None] = lambda _: None) -> Found:
    """In network namespaces of its own; the calling thread is back in its old one after it."""
    interval = f"{plan.interval_s:g}"
    with (
        fresh_netns(),
        # In processes of their own: those of the load hold every socket of it.
        established(plan.standing, STANDING_PORT, _standing_client),
        LoadProcess(plan.most_time_waits) as load,
        Watched("--readonly", "--interval", interval) as program,
    ):
        return _watched(
            _Run(plan, program, load, Keys(plan.seed, plan.interval_s, host_wide=plan.host_wide)),
            tell,
        )


def _standing_client(number: int) -> socket.socket:
    return plain_client(f"127.2.0.{number // PER_ADDRESS + 1}")


def _watched(it: _Run, tell: Callable[[str], None]) -> Found:
    plan, program, load = it.plan, it.program, it.load
    it.wait(lambda: "sorted by" in program.display.text, "no table")
    it.wait(lambda: load.done.seconds > 0, "no load")
    for pressed, screen in TOUR:
        it.drive(it.keys.typed(pressed), lambda: False)
        it.wait(lambda screen=screen: program.shows(screen), f"no {screen} screen")  # type: ignore[misc]
    it.go_home()
    files_before = it.settled_files()
    tell(f"fds between two looks: {dict(files_before)}")
    begin = time.monotonic()
    told = begin

    def over() -> bool:
        nonlocal told
        now = time.monotonic()
        it.gauge()
        if now >= told + PROGRESS_S:
            told = now
            tell(it.progress(now - begin))
        return now >= begin + plan.seconds

    it.drive(it.keys.all_along(program.display), over)
    looks = len(program.ended)
    it.wait(lambda: len(program.ended) > looks, "no look any more")
    ends = [at for at in program.ended if at >= begin]
    judgement = pace.judge([begin, *ends], program.headers, plan.interval_s)
    load.stop()
    it.wait(lambda: load.stopped, "the load does not stop")
    it.go_home()
    at_stop = it.compare(exactly=False)
    at_rest = at_stop if at_stop.exact else it.compare(exactly=True)
    files_after = it.settled_files()
    program.press("q")
    exit_code = program.wait_exit()
    return Found(
        plan=plan,
        done=load.done,
        judgement=judgement,
        gauges=it.gauges,
        files_before=files_before,
        files_after=files_after,
        at_stop=at_stop,
        at_rest=at_rest,
        refused_looks=len(program.refused),
        screens=program.screens,
        keys=it.keys.pressed,
        sent_bytes=program.sent_bytes,
        exit_code=exit_code,
        not_restored=not_restored(program.output),
        shown_faults=program.faults,
    )
