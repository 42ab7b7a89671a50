"""A port as the first word, and what is typed by the habit of other tools."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockwatch.cli import why
from sockwatch.cli.arguments import parse
from sockwatch.cli.command import UsageError
from sockwatch.cli.dispatch import COMMANDS, dispatch
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.hints import HINTS, hint
from sockwatch.view.asked import Services
from tests.support.asked import texts_for_a_port
from tests.support.schemas import read_document

NAMES = [command.NAME for command in COMMANDS]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code and stdout of the command line, in this process."""
    options = parse(arguments, COMMANDS, why)
    command = next(command for command in COMMANDS if options.command == command.NAME)
    return command.run(options), capsys.readouterr().out


@pytest.fixture
def listener(netns: None) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 8080)) as sock:
        yield sock


def test_it_is_answered_as_why_does(
    listener: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    code, page = run(capsys, "why", "8080")
    assert code == ExitCode.NO
    assert f"({os.getpid()})" in page
    code, brief = run(capsys, "8080")
    assert code == ExitCode.NO
    assert "\nblocked by\n" in page
    assert "\nblocked by\n" not in brief
    assert brief.splitlines()[0] == page.splitlines()[0]
    assert run(capsys, "--ascii", ":8080/tcp")[0] == code
    code, page = run(capsys, "--reuseport", "http://localhost:8080/")
    assert code == ExitCode.NO
    assert "127.0.0.1 (reuseport)" in page
    assert run(capsys, "8080/udp")[0] == ExitCode.YES


def test_as_a_process(listener: socket.socket) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sockwatch", "--debug", "8080", "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    document = read_document(done.stdout, "why")
    assert (done.returncode, document["bind"]) == (ExitCode.NO, "EADDRINUSE")


@pytest.mark.parametrize("words", [["8080,9000"], ["9000", "8080", "9000"]])
def test_several_ports(
    words: list[str], listener: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = run(capsys, *words)
    assert code == ExitCode.NO
    first, second = ("9000", "8080") if words[0] == "9000" else ("8080", "9000")
    assert text.startswith(f"{first}/tcp")
    assert f"\n\n{second}/tcp" in text
    code, text = run(capsys, *words, "--json")
    document = read_document(text, "answers")
    assert code == ExitCode.NO
    assert [answer["request"]["port"] for answer in document["answers"]] == [
        int(first),
        int(second),
    ]


def test_options_between_ports(netns: None, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = run(capsys, "8080", "--json", "9000-9001")
    assert (code, len(read_document(text, "answers")["answers"])) == (ExitCode.YES, 3)


@pytest.mark.parametrize(
    ("address", "code"),
    [("127.0.0.1", ExitCode.NO), ("::1", ExitCode.NO), ("127.0.0.2", ExitCode.YES)],
)
def test_localhost_is_both_addresses(
    address: str, code: ExitCode, netns: None, capsys: pytest.CaptureFixture[str]
) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 3000), family=family):
        for host, expected in (("127.0.0.1", address == "127.0.0.1"), ("::1", address == "::1")):
            assert fails(host) == expected
        assert run(capsys, "localhost:3000")[0] == code
        done, text = run(capsys, "localhost:3000", "--json")
    document = read_document(text, "why")
    assert (done, document["request"]["address"]) == (code, "127.0.0.1")
    assert document["dual_stack"]["request"]["address"] == "::1"


def fails(host: str) -> bool:
    """What the kernel says to a bind() of port 3000."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        try:
            sock.bind((host, 3000))
        except OSError:
            return True
    return False


def test_localhost_of_a_host_without_ipv6(netns: None, capsys: pytest.CaptureFixture[str]) -> None:
    with open("/proc/sys/net/ipv6/conf/all/disable_ipv6", "w") as switch:
        switch.write("1")
    assert fails("::1")
    assert run(capsys, "localhost:3000")[0] == ExitCode.YES
    _, text = run(capsys, "localhost:3000", "--json")
    assert read_document(text, "why")["dual_stack"] is None


def test_the_table_knows_the_same_words(
    listener: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["8080,9000", "8000-8100", "tcp:8080", "*:8080", "port:http-alt", "localhost:8080"]
    code, text = run(capsys, "ports", *words, "http://localhost:8080/", "http-alt", "!8080/udp")
    assert code == ExitCode.YES
    assert text.splitlines()[1].split()[:3] == ["8080", "tcp", "127.0.0.1"]
    assert run(capsys, "ports", "http://127.0.0.2:8080/")[0] == ExitCode.NO


def test_the_table_finds_a_client_port_by_its_number(
    listener: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection(("127.0.0.1", 8080)) as client:
        number = client.getsockname()[1]
        for word in (f"{number}", f"127.0.0.1:{number},1"):
            code, text = run(capsys, "ports", word, "--json")
            assert code == ExitCode.YES
            (port,) = read_document(text, "ports")["ports"]
            assert (port["port"], port["holders"][0]["pid"]) == (number, os.getpid())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("kill", "'kill' is no command; type sockwatch PORT: it says who has the port"),
        ("kill -9 8080", "type sockwatch 8080: it says who has the port and how to free it"),
        ("release :8080", "type sockwatch :8080: it says"),
        ("release [::1]:80", "type sockwatch PORT: it says"),  # a shell would read the brackets
        ("status", "'status' is no command; type sockwatch ports: it prints the table of ports"),
        ("show 8080", "type sockwatch 8080: it says"),
        ("ls", "type sockwatch ports: it"),
        ("-l", "'-l' is no option; type sockwatch ports: it"),
        ("-tlnp", "'-tlnp' is no option; type sockwatch ports: it"),
        ("netstat -tlnp", "type sockwatch ports: it"),
        ("-i :8080", "type sockwatch :8080: it says"),
        ("-ti:8080", "type sockwatch :8080: it says"),
        ("-8080", "type sockwatch 8080: it says"),
        ("--port=8080", "type sockwatch 8080: it says"),
        ("--list", "'--list' is no option; type sockwatch ports: it"),
        ("--verson", "'--verson' is no option; type sockwatch --help: it lists the options"),
        ("top", "'top' is no command; type sockwatch: it opens the live screen"),
        ("errors", "type sockwatch failures: it"),
        ("prots", "'prots' is no command; did you mean sockwatch ports?"),
        ("wyh 8080", "'wyh' is no command; did you mean sockwatch why 8080?"),
        ("nginx", "'nginx' is no command and no port; type sockwatch ports nginx to find it"),
        ("kubernétés", "'kubernétés' is no command and no port; type sockwatch --help"),
        ("70000", "port 70000 is too large: type 0 to 65535"),
        ("localhost", "'localhost' has no port; type localhost:8080"),
        ("8080 kill", "'kill' is neither a port nor a service; type 8080"),
        ("8080/tcp --udp", "'8080/tcp' is not for udp; type the port alone"),
        ("8000-9000", "these are 1001 ports, and 100 can be asked for at once"),
        ("labs 8080", "'labs' is no command; did you mean sockwatch lab?"),
        ("8080 --\x1b[31m", "unrecognized arguments: --?[31m; type sockwatch --help"),
        ("--all-netns", "type sockwatch ports --all-netns: it prints the table of every"),
        ("8080 --all-netns", "type sockwatch ports PORT --all-netns"),
        ("--netns blue", "--netns needs a port or a command; type sockwatch ports --netns WHICH"),
        ("ports state:\x1b[31m", "?[31m is not a state: type listen"),
        ("8080 --jsn", "unrecognized arguments: --jsn; type sockwatch --help"),
    ],
)
def test_a_habit_gets_one_line(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(arguments.split()) == ExitCode.USAGE
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err


def test_a_hint_names_what_exists() -> None:
    assert set(HINTS).isdisjoint(NAMES)
    for instead in filter(None, HINTS.values()):
        words = instead[0].split()
        if words and not words[0].startswith("--"):
            parse(words, COMMANDS, why)
    for word in (*HINTS, "-x", "--nothing", "prots"):
        assert hint([word], NAMES, {}).isprintable()


SERVICES: Services = {("domain", "udp"): 53}


@given(st.lists(texts_for_a_port(), min_size=1, max_size=3))
def test_any_words_get_one_line(words: list[str]) -> None:
    text = hint(words, NAMES, SERVICES)
    assert text.isprintable()
    typed = text.partition("; ")[2]
    assert not set(typed) & set(";&|`$<>[]")


@given(st.lists(texts_for_a_port(), min_size=1, max_size=3))
def test_any_words_are_a_command_line_or_our_error(words: list[str]) -> None:
    try:
        parse(words, COMMANDS, why)
    except UsageError as error:
        assert str(error).isprintable()  # noqa: PT017
