"""Nothing of the lab outlives it: no process, no namespace, no file."""

from __future__ import annotations

import os
import pty
import random
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from sockwatch.lab.model import ClientSpec, LabError, Network, ServerSpec
from sockwatch.lab.run import run_step
from sockwatch.lab.sandbox import Sandbox
from sockwatch.lab.session import Session
from sockwatch.lab.steps import Connect, ServerCloses, Signal, Start
from tests.support.child import in_child
from tests.support.marked import Mark
from tests.support.netns import enter_new_netns
from tests.support.sample import SEED
from tests.support.seccomp import refuse

RUN_ALL = [sys.executable, "-m", "sockwatch", "lab", "run", "--all"]
KILLS = 8
LONGEST_RUN_S = 3.0
ENDED = 3

# A whole processes: children with connections, a leaked listener, a stopped server, an orphan.
STEPS = (
    Start("", "leaking", ServerSpec(port=10013, execs=True, cloexec=False)),
    Connect("", "client", ClientSpec(to_port=10013, closes="nobody"), servers=("leaking",)),
    ServerCloses("", "leaking", "client"),
    Signal("", "leaking", "KILL"),
    Start("", "forking", ServerSpec(port=10014)),
    Connect("", "client", ClientSpec(to_port=10014, closes="nobody"), servers=("forking",)),
    Signal("", "forking", "KILL"),
    Start("", "stopped", ServerSpec(port=10015)),
    Signal("", "stopped", "STOP"),
)


@pytest.fixture
def mark() -> Iterator[Mark]:
    made = Mark()
    yield made
    for pid in made.processes():
        os.kill(pid, signal.SIGKILL)


@contextmanager
def marked_environment(mark: Mark) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(mark.environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def mounted_namespaces() -> list[str]:
    """What keeps a namespace without a process: a mount of it."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return sorted(line.split()[4] for line in lines if " nsfs " in line)


def namespaces_of(mark: Mark) -> set[int]:
    found = set()
    for pid in mark.processes():
        try:
            found.add(os.stat(f"/proc/{pid}/ns/net").st_ino)
        except OSError:
            continue
    return found


def test_sigkill_at_random_moments_leaves_nothing(mark: Mark, tmp_path: Path) -> None:
    folder = tmp_path / "empty"  # beside the cache of the kernel's layout, which may stay
    folder.mkdir()
    places = dict.fromkeys(("TMPDIR", "HOME", "XDG_RUNTIME_DIR"), str(folder))
    environment = os.environ | mark.environment | places
    before = mounted_namespaces()
    moments = random.Random(SEED)  # noqa: S311 - moments, no secrets
    interrupted = 0
    for _ in range(KILLS):
        run = subprocess.Popen(
            RUN_ALL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
        )
        try:
            run.wait(moments.uniform(0.2, LONGEST_RUN_S))
        except subprocess.TimeoutExpired:
            interrupted += len(namespaces_of(mark)) > 1
        run.kill()
        run.wait()
        mark.wait_until_gone()
    assert interrupted, "no run was killed while its sandbox was up"
    assert mounted_namespaces() == before
    assert list(folder.rglob("*")) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE])
def test_a_signal_leaves_nothing(mark: Mark, number: signal.Signals) -> None:
    run = subprocess.Popen(
        RUN_ALL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | mark.environment
    )
    assert run.stdout is not None
    while b"listen(" not in run.stdout.readline():
        pass
    assert len(mark.processes()) > 1
    run.send_signal(number)
    _, narration = run.communicate(timeout=30)
    assert run.returncode == (130 if number == signal.SIGINT else -number)
    assert narration == b""
    mark.wait_until_gone()


def test_a_dropped_connection_leaves_nothing(mark: Mark) -> None:
    """A terminal that goes away, as when SSH breaks off."""
    pid, master = pty.fork()
    if pid == 0:
        os.environ.update(mark.environment)
        os.execv(sys.executable, RUN_ALL)  # noqa: S606 - in the child of the terminal
    seen = b""
    while b"listen(" not in seen:
        seen += os.read(master, 4096)
    assert len(mark.processes()) > 1
    os.close(master)
    os.waitpid(pid, 0)
    mark.wait_until_gone()


def test_closing_the_sandbox_ends_every_process(mark: Mark) -> None:
    with marked_environment(mark):
        with Sandbox() as sandbox:
            play(sandbox)
            names = set(mark.processes().values())
            assert {"cat", "stopped", "client", "forking", "sockwatch-lab"} <= names
        assert mark.processes() == {}


def play(sandbox: Sandbox) -> None:
    session = Session(sandbox)
    for step in STEPS:
        run_step(session, step)


def crash(sandbox: Sandbox) -> None:
    play(sandbox)
    os._exit(ENDED)


def kill_the_supervisor(sandbox: Sandbox) -> None:
    play(sandbox)
    kill_all(name_is=lambda name: name == "sockwatch-lab")
    with pytest.raises(LabError):
        play(sandbox)


def kill_all_ours(sandbox: Sandbox) -> None:
    """What `pkill -9 python` does: only what sockwatch has started of other programs is left."""
    play(sandbox)
    kill_all(name_is=lambda name: name not in ("cat", "forking", "stopped"))
    os._exit(ENDED)


def kill_all(name_is: Callable[[str], bool]) -> None:
    for pid, name in the_mark().processes().items():
        if name_is(name):
            with suppress(ProcessLookupError):  # the end of one takes others along
                os.kill(pid, signal.SIGKILL)


_marks: list[Mark] = []


def the_mark() -> Mark:
    return _marks[-1]


@pytest.mark.parametrize("end", [crash, kill_the_supervisor, kill_all_ours])
@pytest.mark.parametrize("namespaces", [True, False], ids=["namespaces", "none"])
def test_no_end_leaves_anything(
    mark: Mark, end: Callable[[Sandbox], None], namespaces: bool
) -> None:
    """With the kernel's help, and where a sandbox refuses every namespace."""
    _marks.append(mark)
    pid = os.fork()
    if pid == 0:
        os.environ.update(mark.environment)
        try:
            network: Network = "own"
            if not namespaces:
                enter_new_netns()  # the test's own network stands for the host
                refuse("unshare")
                network = "host"
            end(Sandbox(network))
        except BaseException:  # noqa: BLE001 - printed, and told by the exit code
            traceback.print_exc()
            os._exit(1)
        finally:
            os._exit(ENDED)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == ENDED
    mark.wait_until_gone()


def test_where_namespaces_are_refused_it_says_so_and_what_to_do() -> None:
    def answer() -> str:
        refuse("unshare")
        try:
            Sandbox().close()
        except LabError as error:
            return str(error)
        return "no error"

    text = in_child(answer)
    assert text == (
        "no namespace for the sandbox: Operation not permitted; "
        "sockwatch lab run --on-host uses the host's loopback"
    )


def test_a_sandbox_that_is_killed_is_an_error_and_no_hang(mark: Mark) -> None:
    with marked_environment(mark), Sandbox() as sandbox:
        for pid, name in mark.processes().items():
            if name == "sockwatch-look":
                os.kill(pid, signal.SIGKILL)
        with pytest.raises(LabError, match="the sandbox is gone"):
            sandbox.take_snapshot()
