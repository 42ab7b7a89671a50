"""Make the moving picture at README's top, screenshots/taken-port.svg, from a real session.

Run as root: .venv/bin/python -m tests.moving_picture

A server has been killed, and a program that it started has its port. bash runs each command of the
session in a terminal, in namespaces of its own (network, processes, mounts, host name), so the
numbers are small and nothing of this machine is seen. What is typed to end the program is what
sockwatch has printed.
"""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from sockwatch.readable import readable
from tests.support.animation import PROMPT, Shown, animated_svg
from tests.support.libc import check, libc
from tests.support.netns import link_up
from tests.support.waiting import PATIENCE_S

PICTURE: Final = Path(__file__).parents[1] / "screenshots" / "taken-port.svg"
FOLDER: Final = Path("/srv/shop")  # on a file system of its own
COLUMNS: Final = 80
SHOP: Final = f"""\
#!{sys.executable}
import os, socket, subprocess, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
try:
    listener.bind(("0.0.0.0", 8080))
except OSError as error:
    sys.exit(f"shop: cannot bind 0.0.0.0:8080: {{error.strerror}}")
listener.listen()
listener.set_inheritable(True)
subprocess.Popen(["tail", "-F", "orders.log"], close_fds=False, stdout=subprocess.DEVNULL)
print("shop: listening on 0.0.0.0:8080", flush=True)
listener.accept()
"""
IN_NAMESPACES: Final = ("unshare", "-n", "-m", "-p", "-f", "-u", "--mount-proc", "bash", "-c")
ATTEMPTS: Final = 60  # until no other network namespace of the machine is told of
KEY_S: Final = 0.07  # between two characters of a command
PAUSE_S: Final = 0.9  # before a command is typed, and before it is entered
LINE_S: Final = 0.45  # to read a line
LAST_S: Final = 4.0  # to look at the end


class Ran(NamedTuple):
    """A command, what it printed, and how many seconds it took; None if it goes on."""

    command: str
    output: str
    took_s: float
    exit_code: int | None


def run(command: str, *, until: str | None = None) -> Ran:
    """Run it by bash in a terminal, to its end or until it has printed the text.

    Raises TimeoutError.
    """
    ours, theirs = pty.openpty()
    os.set_inheritable(theirs, True)
    started = time.monotonic()
    process = subprocess.Popen(
        ["bash", "-c", command], stdin=theirs, stdout=theirs, stderr=theirs, cwd=FOLDER,
        start_new_session=True, env=os.environ | {"TERM": "xterm", "COLUMNS": f"{COLUMNS}"},
    )  # fmt: skip
    os.close(theirs)
    output = b""
    with suppress(OSError):  # EIO: nobody has the terminal any more
        while until is None or until.encode() not in output:
            if not readable([ours], PATIENCE_S):
                raise TimeoutError(f"{command}: {output.decode()}")
            piece = os.read(ours, 4096)
            if not piece:
                break
            output += piece
    took_s = time.monotonic() - started
    if until is None:
        process.wait(PATIENCE_S)
    else:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE_S)
    os.close(ours)
    text = output.decode().replace("\r\n", "\n").rstrip("\n")
    return Ran(command, text, took_s, None if until else process.returncode)


def session() -> list[Ran]:
    """The server cannot start; who has its port; the printed command; the server starts.

    Call it in the namespaces. Raises AssertionError if the story is another one.
    """
    prepare()
    killed = subprocess.Popen(
        ["./shop"], cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert killed.stdout is not None
    assert killed.stdout.readline() == b"shop: listening on 0.0.0.0:8080\n"
    killed.kill()
    killed.wait()
    refused = run("./shop")
    assert refused.exit_code == 1
    assert refused.output == "shop: cannot bind 0.0.0.0:8080: Address already in use"
    answer = run("sockwatch 8080")
    assert answer.exit_code == 1, answer
    assert "has the\n            listening socket" in answer.output, answer.output
    fix = re.search(r"^ +(kill \d+)$", answer.output, re.MULTILINE)
    assert fix is not None, answer.output
    ended = run(fix[1])
    assert (ended.exit_code, ended.output) == (0, ""), ended
    return [refused, answer, ended, run("./shop", until="listening on 0.0.0.0:8080")]


def prepare() -> None:
    """A host with nothing on it but the server's folder."""
    link_up("lo")
    check(libc.sethostname(b"web-1", 5))
    for place in ("/srv", "/run"):
        check(libc.mount(b"none", place.encode(), b"tmpfs", 0, None))
    FOLDER.mkdir()
    (FOLDER / "shop").write_text(SHOP)
    (FOLDER / "shop").chmod(0o755)
    (FOLDER / "orders.log").touch()
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    os.environ["LC_ALL"] = "C.UTF-8"


def lines_of(runs: list[Ran]) -> tuple[list[Shown], float]:
    """The lines of the session, each at its time, and when the picture ends."""
    lines: list[Shown] = []
    now_s = 0.0
    for ran in runs:
        begins_s = now_s + PAUSE_S
        ends_s = begins_s + KEY_S * len(ran.command)
        answers_s = ends_s + PAUSE_S / 2 + ran.took_s
        lines.append(Shown(PROMPT + ran.command, now_s, (begins_s, ends_s), answers_s))
        told = ran.output.splitlines()
        lines += [Shown(line, answers_s) for line in told]
        now_s = answers_s + LINE_S * len(told)
    return lines, now_s + LAST_S


def record() -> list[Ran]:
    """The session, in namespaces of its own."""
    itself = shlex.join([sys.executable, "-m", "tests.moving_picture", "session"])
    in_bash = f"{itself}; exit $?"  # bash stays, as the first process: the parent of orphans
    done = subprocess.run([*IN_NAMESPACES, in_bash], stdout=subprocess.PIPE, check=True)
    return [Ran(*each) for each in json.loads(done.stdout)]


def main() -> None:
    """Record the session, and draw it."""
    if sys.argv[1:] == ["session"]:
        json.dump(session(), sys.stdout)
        return
    for _ in range(ATTEMPTS):
        runs = record()
        if not any(words in ran.output for ran in runs for words in ("also in", "not seen")):
            break
        time.sleep(1)
    else:
        sys.exit("other network namespaces have port 8080, or take too long to look at")
    lines, lasts_s = lines_of(runs)
    title = "A server cannot bind its port; sockwatch tells who has it and what to do"
    PICTURE.write_text(animated_svg(lines, lasts_s, COLUMNS, title))


if __name__ == "__main__":
    main()
