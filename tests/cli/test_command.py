"""The command line as a user meets it: real processes, exit codes, streams."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.look import take_snapshot
from sockwatch.cli.place import Place
from sockwatch.kernel.bpf.reader import BpfReader
from tests.support.privilege import REAL_ROOT
from tests.support.schemas import read_document

GOLDEN = Path(__file__).parent / "golden"
COMMAND = [sys.executable, "-m", "sockwatch"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=os.environ | environment,
        timeout=60,
    )


def test_ctrl_c_during_the_imports() -> None:
    code = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'sockwatch.cli.dispatch':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from sockwatch.cli import main\n"
        "sys.exit(main(['ports']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (ExitCode.INTERRUPTED, "", "")


@pytest.fixture
def listener(netns: None) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 8080))
    sock.listen(7)
    return sock


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("help", []),
        ("ports-help", ["ports"]),
        ("why-help", ["why"]),
        ("wait-help", ["wait"]),
        ("lab-help", ["lab"]),
        ("lab-run-help", ["lab", "run"]),
        ("failures-help", ["failures"]),
        ("run-help", ["run"]),
        ("hold-help", ["hold"]),
        ("free-help", ["free"]),
        ("metrics-help", ["metrics"]),
        ("export-help", ["export"]),
        ("snapshot-help", ["snapshot"]),
    ],
)
def test_help(name: str, arguments: list[str]) -> None:
    done = run(*arguments, "--help", COLUMNS="200", FORCE_COLOR="1")
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("SOCKWATCH_UPDATE_GOLDEN"):
        golden.write_text(done.stdout)
    assert (done.returncode, done.stdout) == (ExitCode.YES, golden.read_text())
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ports", "port:70000"], "port 70000 is too large: type 0 to 65535"),
        (["ports", "70000"], "port 70000 is too large: type 0 to 65535"),
        (["ports", "flag:x"], "x is not a flag: type flag:reuseaddr, reuseport, none or unknown"),
        (["ports", "flga:none"], "flga: is not a filter term: type port:, state:"),
        (["ports", "--jsn"], "unrecognized arguments: --jsn; type sockwatch --help"),
        (["prots"], "'prots' is no command; did you mean sockwatch ports?"),
        (["failures", "--for", "0"], "'0' is not a positive number of seconds"),
        (["failures", "--for", "inf"], "'inf' is not a positive number of seconds"),
        (["failures", "--count", "0"], "'0' is not a positive number"),
        (["failures", "--count", "1.5"], "'1.5' is not a positive number"),
        (["--interval", "0"], "'0' is not a number of seconds from 0.1 to 3600"),
        (["--interval", "nan"], "'nan' is not a number of seconds"),
        (["--theme", "red"], "argument --theme: invalid choice: 'red'"),
        ([], "the live screen needs a terminal; run sockwatch ports"),
    ],
)
def test_a_wrong_command_line_gets_one_line(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.returncode == ExitCode.USAGE
    assert done.stdout == ""
    assert done.stderr.startswith("sockwatch: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("variable", "value"),
    [("SOCKWATCH_INTERVAL", "fast"), ("SOCKWATCH_ASCII", "maybe"), ("SOCKWATCH_THEME", "red")],
)
def test_a_wrong_environment_gets_one_line(variable: str, value: str) -> None:
    done = run("ports", **{variable: value})
    assert done.returncode == ExitCode.USAGE
    assert variable in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_table(listener: socket.socket) -> None:
    with listener:
        done = run("ports")
    assert done.returncode == ExitCode.YES
    header, line = done.stdout.splitlines()
    assert header.split()[:10] == [
        "PORT",
        "PROTO",
        "ADDRESS",
        "QUEUE",
        "REUSE",
        "EST",
        "TW",
        "RESTART",
        "PROCESS",
        "OTHER",
    ]
    cells = line.split()
    assert cells[:8] == ["8080", "tcp", "127.0.0.1", "0/7", "A-", "0", "0", "ok"]
    assert str(os.getpid()) in cells


@pytest.mark.parametrize("word", ["8080", ":8080", "port:8080", "state:listen", "127.0.0.1:8080"])
def test_a_filter_that_matches(listener: socket.socket, word: str) -> None:
    with listener:
        assert run("ports", word).returncode == ExitCode.YES


@pytest.mark.parametrize("words", [["808"], ["80"], ["state:time_wait"], ["8080", "proto:udp"]])
def test_a_filter_that_matches_nothing(listener: socket.socket, words: list[str]) -> None:
    with listener:
        done = run("ports", *words)
    assert done.returncode == ExitCode.NO
    assert "no port matches" in done.stderr


def test_json(listener: socket.socket) -> None:
    with listener, socket.socket() as bound:
        bound.bind(("127.0.0.2", 8080))
        done = run("ports", "--json")
        document = read_document(done.stdout, "ports")
        inodes = [os.fstat(sock.fileno()).st_ino for sock in (listener, bound)]
        fds = [listener.fileno(), bound.fileno()]
    assert document["schema"] == 2
    assert document["host"] == socket.gethostname()
    assert document["kernel"] == os.uname().release
    assert set(document["netns"]) == {"inode", "name", "origin"}
    for gap in document["gaps"]:
        assert set(gap) == {"code", "text", "remedy"}
    (port,) = document["ports"]
    holders = port.pop("holders")
    assert [holder["fd"] for holder in holders] == fds
    common = {
        "family": "ipv4",
        "v6only": False,
        "device": None,
        "uid": os.geteuid(),
        "reuseport": False,
        "flags_source": "bpf" if REAL_ROOT else "pidfd_getfd",
    }
    assert port == {
        "protocol": "tcp",
        "port": 8080,
        "states": {"LISTEN": 1, "BOUND": 1},
        "time_wait": {
            "count": 0,
            "first_frees_in_s": None,
            "last_frees_in_s": None,
            "reuseaddr": {"yes": 0, "no": 0, "unknown": 0},
            "reuseport": {"yes": 0, "no": 0, "unknown": 0},
        },
        "orphans": 0,
        "unaccepted": 0,
        "half_open": 0,
        "listeners": [
            common
            | {
                "address": "127.0.0.1",
                "inode": inodes[0],
                "reuseaddr": True,
                "queue": 0,
                "backlog": 7,
                "drops": 0,
                "holders": [holders[0]],
            }
        ],
        "bound": [
            common
            | {
                "address": "127.0.0.2",
                "inode": inodes[1],
                "reuseaddr": False,
                "holders": [holders[1]],
            }
        ],
    }


def test_an_unwritable_output_gets_one_line(listener: socket.socket) -> None:
    with listener, open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "ports"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == ExitCode.UNKNOWN
    assert "cannot write to standard output: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_closed_output_gets_one_line(listener: socket.socket) -> None:
    with listener:
        done = subprocess.run(
            ["sh", "-c", 'exec "$@" >&-', "sh", *COMMAND, "ports"],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == ExitCode.UNKNOWN
    assert "cannot write to standard output" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away_ends_it_in_silence(listener: socket.socket) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with listener:
        done = subprocess.run(
            [*COMMAND, "ports"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
        )
    os.close(writer)
    assert done.returncode == -signal.SIGPIPE
    assert done.stderr == ""


def test_a_dumb_terminal_is_pointed_to_the_table() -> None:
    controller, terminal = os.openpty()
    done = subprocess.run(
        COMMAND,
        stdin=terminal,
        stdout=terminal,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env=os.environ | {"TERM": "dumb"},
    )
    os.close(terminal)
    os.close(controller)
    assert done.returncode == ExitCode.USAGE
    assert (
        done.stderr
        == "sockwatch: TERM is dumb, so there is no live screen; run sockwatch ports to "
        "print the table\n"
    )


@pytest.mark.parametrize(
    "code",
    [
        "import sockwatch",
        "from sockwatch.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
    ],
)
def test_what_is_heavy_is_not_imported(code: str) -> None:
    check = (
        "import sys; print(sorted({'textual', 'pyroute2', 'psutil', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{check}"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_debug_shows_what_the_verifier_said(
    netns: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: BpfReader) -> bool:
        self.give_up("the verifier refused", "report it", "R1 invalid mem access")
        return False

    monkeypatch.setattr(BpfReader, "ready", refuse)
    take_snapshot(None, Place(None), debug=False)
    assert "R1" not in capsys.readouterr().err
    take_snapshot(None, Place(None), debug=True)
    assert "R1 invalid mem access" in capsys.readouterr().err
