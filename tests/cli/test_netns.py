"""Other network namespaces: real ones, with sysctls and servers of their own."""

from __future__ import annotations

import errno
import os
import shlex
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sockwatch.cli import main
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.place import Place
from sockwatch.kernel import host
from sockwatch.kernel.netfilter.chains import has_nat
from sockwatch.kernel.netns import elsewhere
from tests.cli import bed as beds
from tests.support.child import become, idle_child, in_child
from tests.support.netns import enter_new_netns, set_ipv4_sysctl
from tests.support.privilege import needs_root
from tests.support.schemas import read_document
from tests.support.user import UID, run_as_user

PORT = 8080
LOW = "ip_unprivileged_port_start"


@pytest.fixture
def bed() -> Iterator[beds.Bed]:
    with beds.bed() as made:
        yield made


def attempt(bed: beds.Bed, name: str | None, port: int, uid: int = 0) -> str:
    """What the kernel says to a bind() of that user there."""

    def bind() -> str:
        bed.enter(name)
        if uid:
            become(uid)
        with socket.socket() as sock:
            try:
                sock.bind(("0.0.0.0", port))
            except OSError as error:
                return errno.errorcode[error.errno or 0]
        return "ok"

    return in_child(bind)


def why(bed: beds.Bed, *words: str) -> Any:
    return read_document(bed.sockwatch("why", *words, "--json").stdout, "why")


def test_each_way_to_say_which(bed: beds.Bed) -> None:
    inode = bed.add("blue")
    own = bed.path().stat().st_ino
    with bed.served("blue", PORT) as pid:
        for which in ("blue", str(pid), str(inode), f"/proc/{pid}/ns/net", "/run/netns/blue"):
            done = bed.sockwatch(str(PORT), "--netns", which)
            assert done.returncode == ExitCode.NO, done.stderr
            title = done.stdout.splitlines()[0]
            assert title.startswith("in netns ")
            assert title.endswith(
                f", {PORT}/tcp is held by {Path(f'/proc/{pid}/comm').read_text().strip()}({pid})"
            )
            document = why(bed, str(PORT), "--netns", which)
            assert (document["netns"]["inode"], document["also_in"]) == (inode, None)
            assert (document["bind"], attempt(bed, "blue", PORT)) == ("EADDRINUSE", "EADDRINUSE")
        here = why(bed, str(PORT))
    assert (here["netns"]["inode"], here["bind"], attempt(bed, None, PORT)) == (own, "ok", "ok")


def test_ones_own_is_no_other_one(bed: beds.Bed) -> None:
    inode = bed.path().stat().st_ino
    document = why(bed, str(PORT), "--netns", str(inode))
    assert document["netns"]["inode"] == inode
    assert document["also_in"] is not None
    done = bed.sockwatch(str(PORT), "--netns", str(inode))
    assert done.stdout.startswith(f"{PORT}/tcp: nobody has it\n")


def test_its_own_low_ports(bed: beds.Bed) -> None:
    bed.add("blue")
    bed.run("ip", "netns", "exec", "blue", "sysctl", "-w", f"net.ipv4.{LOW}=80")
    for name, words, expected in ((None, [], "EACCES"), ("blue", ["--netns", "blue"], "ok")):
        document = why(bed, "80", "--uid", str(UID), *words)
        assert document["bind"] == attempt(bed, name, 80, UID) == expected


def test_its_own_port_range(bed: beds.Bed) -> None:
    bed.add("blue")

    def narrow() -> None:
        set_ipv4_sysctl("ip_local_port_range", "40000 40000")

    with bed.served("blue", 40000, prepare=narrow):
        for name, words, expected in (
            (None, [], "ok"),
            ("blue", ["--netns", "blue"], "EADDRINUSE"),
        ):
            document = why(bed, "0.0.0.0:0", *words)
            assert document["bind"] == attempt(bed, name, 0) == expected


def test_its_own_addresses_and_interfaces(bed: beds.Bed) -> None:
    bed.add("blue")
    for command in ("link add v0 type veth peer name v1", "addr add 192.0.2.7/24 dev v0"):
        done = bed.run("ip", "-n", "blue", *command.split())
        assert done.returncode == 0, done.stderr
    bed.run("ip", "-n", "blue", "link", "set", "v0", "up")
    index = bed.run(
        "ip", "netns", "exec", "blue", "cat", "/sys/class/net/v0/ifindex"
    ).stdout.strip()
    there = why(bed, "192.0.2.7:80", "--netns", "blue")
    assert (there["bind"], why(bed, "192.0.2.7:80")["bind"]) == ("ok", "EADDRNOTAVAIL")
    zoned = why(bed, f"[fe80::1%{index}]:80", "--netns", "blue")
    assert zoned["request"]["address"] == "fe80::1%v0"


@pytest.mark.parametrize("way", ["name", "pid"])
def test_advice_is_carried_out_from_outside(bed: beds.Bed, way: str) -> None:
    """It changes the namespace that it is about, and no other one."""
    bed.add("blue")
    with bed.served("blue", PORT) as pid, idle_child(enter_new_netns) as nameless:
        which = "blue" if way == "name" else str(nameless)
        target = f"/proc/{pid if way == 'name' else nameless}/ns/net"

        def start(of: str) -> str:
            return bed.run(
                "nsenter", f"--net={of}", "sysctl", "-n", f"net.ipv4.{LOW}"
            ).stdout.strip()

        words = ("80", "--uid", str(UID), "--netns", which)
        before = why(bed, *words)
        assert before["bind"] == "EACCES"
        (lower,) = (fix for fix in before["fixes"] if LOW in (fix["command"] or ""))
        assert not lower["in_netns"]
        entry = f"nsenter --net=/proc/{nameless}/ns/net" if way == "pid" else "ip netns exec blue"
        assert lower["command"].startswith(f"{entry} sysctl -w ")
        done = bed.run(*shlex.split(lower["command"]))
        assert done.returncode == 0, done.stderr
        assert why(bed, *words)["bind"] == "ok"
        assert (start(target), start(f"/proc/{bed.pid}/ns/net")) == ("80", "1024")


def test_no_command_by_way_of_a_process_that_has_ended() -> None:
    if os.geteuid():
        pytest.skip("needs root, to enter it")
    with idle_child(enter_new_netns) as pid, Place(str(pid)) as place:
        chosen = place.netns
        assert chosen is not None
        assert place.still_led_to() == chosen
        with idle_child(enter_new_netns) as other:
            assert chosen.pid == pid
            place.netns = chosen._replace(pid=other)  # a number that is given again
            assert place.still_led_to() == chosen._replace(pid=None)


@pytest.mark.parametrize("kind", ["listen", "bound", "udp"])
def test_where_else_the_port_is_taken(bed: beds.Bed, kind: beds.Kind) -> None:
    if kind == "bound" and not host.lists_bound_sockets():
        pytest.skip("the kernel is older than 6.8: it does not list bound sockets")
    words = ["8080/udp" if kind == "udp" else "8080"]
    inode = bed.add("blue")
    with bed.served("blue", PORT, kind) as pid:
        done = bed.sockwatch(*words)
        (told,) = [
            each["which"] for each in why(bed, *words)["also_in"] if each["netns"]["inode"] == inode
        ]
        assert done.returncode == ExitCode.YES
        last = done.stdout.splitlines()[2:]
        assert last[0].startswith("also in   ")
        assert f"sockwatch {words[0]} --netns " in done.stdout
        there = bed.sockwatch(*words, "--netns", told)
        assert f"({pid})" in there.stdout.splitlines()[0]
        assert "also in" not in there.stdout
    assert all(each["netns"]["inode"] != inode for each in why(bed, *words)["also_in"])


def test_a_connection_is_no_server(bed: beds.Bed) -> None:
    """Who connects from a port elsewhere does not have it as one who binds means it."""
    inode = bed.add("blue")
    kept: list[socket.socket] = []

    def connect() -> None:
        bed.enter("blue")
        listener = socket.create_server(("127.0.0.1", 9000))
        client = socket.socket()
        client.bind(("127.0.0.1", PORT))
        client.connect(("127.0.0.1", 9000))
        kept.extend([client, listener])

    with idle_child(connect):
        numbers = {
            port: [each["netns"]["inode"] for each in why(bed, str(port))["also_in"]]
            for port in (PORT, 9000)
        }
    assert (inode in numbers[PORT], inode in numbers[9000]) == (False, True)


@needs_root
def test_what_there_was_no_time_for_is_a_gap(
    netns: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(elsewhere, "MOST_NAMESPACES", 0)
    with idle_child(enter_new_netns):
        main([str(PORT)])
        assert "\nnot seen  whether " in capsys.readouterr().out
        main(["why", str(PORT), "--json"])
    document = read_document(capsys.readouterr().out, "why")
    assert document["also_in"] is None
    (gap,) = (gap for gap in document["gaps"] if gap["code"] == "netns-unread")
    assert gap["remedy"] == f"type sockwatch ports {PORT} --all-netns"


def states(document: Any) -> dict[tuple[str, int], dict[str, int]]:
    return {(port["protocol"], port["port"]): port["states"] for port in document["ports"]}


def test_the_ports_of_all(bed: beds.Bed) -> None:
    """Each has what it shows from inside."""
    inodes = {"blue": bed.add("blue"), "green": bed.add("green")}
    with (
        bed.served("blue", PORT),
        bed.served("blue", 53, "udp"),
        bed.served("green", PORT) as green,
        bed.served(None, 9000),
    ):
        done = bed.sockwatch("ports", "--all-netns", "--json")
        document = read_document(done.stdout, "namespaces")
        assert done.returncode == ExitCode.YES
        seen = {each["netns"]["inode"]: each for each in document["namespaces"]}
        assert document["namespaces"][0]["netns"]["inode"] == bed.path().stat().st_ino
        for name, inode in inodes.items():
            inside = bed.run(
                "ip", "netns", "exec", name, sys.executable, "-m", "sockwatch", "ports", "--json"
            )
            outside = bed.sockwatch("ports", "--netns", name, "--json")
            documents = [read_document(each.stdout, "ports") for each in (inside, outside)]
            assert states(documents[0]) == states(documents[1]) == states(seen[inode]) != {}
            assert documents[0]["netns"]["inode"] == documents[1]["netns"]["inode"] == inode
        assert set(states(document["namespaces"][0])) == {("tcp", 9000)}
        table = bed.sockwatch("ports", "--all-netns", str(PORT)).stdout.splitlines()
        assert table[0].split()[:3] == ["NETNS", "PORT", "PROTO"]
        (row,) = (line.split() for line in table if str(green) in line)
        # An age stands before it, where the look has taken long.
        assert row[row.index(str(PORT)) :][:3] == [str(PORT), "tcp", "127.0.0.1"]
        one = bed.sockwatch("ports", "--netns", "green").stdout.splitlines()
        assert one[0].split()[0] == "PORT"
        assert str(green) in one[1]
    assert bed.sockwatch("ports", "--all-netns", "process:nosuchprocess").returncode == ExitCode.NO


def test_a_filter_that_names_another_namespace_hints_at_the_option(bed: beds.Bed) -> None:
    for words, is_hinted in (
        (["netns:blue"], True),
        (["container:web2"], True),
        (["process:nosuchprocess"], False),
        (["container:web2", "--all-netns"], False),
    ):
        done = bed.sockwatch("ports", *words)
        assert done.returncode == ExitCode.NO
        assert ("; --all-netns looks into all of them" in done.stderr) is is_hinted


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["8080", "--netns", "green"], "no network namespace and no container is called 'green'"),
        (["8080", "--netns", "4194305"], "there is no network namespace 4194305"),
        (["ports", "--netns", "/dev/null"], "'/dev/null' is no network namespace"),
        (["ports", "--netns", "host", "--all-netns"], "not allowed with argument --netns"),
        (["8080", "--netns"], "expected one argument"),
    ],
)
def test_a_wrong_word_gets_one_line(bed: beds.Bed, arguments: list[str], message: str) -> None:
    done = bed.sockwatch(*arguments)
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@needs_root
@pytest.mark.parametrize(
    ("which", "message"),
    [
        ("blue", "Operation not permitted; run this again as root"),
        ("PID", "may not be read: Permission denied; run this again as root"),
        ("nosuch", "is called 'nosuch'; sockwatch ports --all-netns lists them; root sees more"),
    ],
)
def test_an_ordinary_user_is_told_what_would_help(which: str, message: str) -> None:
    with idle_child(enter_new_netns) as pid:
        for command in (["why", "80"], ["ports"]):
            words = [*command, "--netns", which.replace("PID", str(pid))]
            done = run_as_user(
                [sys.executable, "-m", "sockwatch", *words],
                before="mount -t tmpfs none /run && ip netns add blue",
            )
            assert (done.returncode, done.stdout) == (ExitCode.UNKNOWN, "")
            assert message in done.stderr
            assert done.stderr.count("\n") == 1


@needs_root
def test_an_ordinary_user_gets_the_table_of_all() -> None:
    done = run_as_user([sys.executable, "-m", "sockwatch", "ports", "--all-netns", "--json"])
    document = read_document(done.stdout, "namespaces")
    assert document["namespaces"][0]["netns"]["inode"] is not None


OWN_CONTAINER = """
import subprocess, sys
serve = '''
import os, socket, subprocess, sys
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
server = socket.create_server(("127.0.0.1", 8080))
print(os.getpid(), flush=True)
sys.stdin.read()
'''
with subprocess.Popen(
    ["unshare", "-Urn", sys.executable, "-I", "-c", serve],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
) as server:
    pid = server.stdout.readline().strip()
    run = [sys.executable, "-m", "sockwatch", "8080", "--netns", pid, "--json"]
    done = subprocess.run(run, stdout=subprocess.PIPE, text=True)
    print(pid, done.returncode)
    print(done.stdout)
    server.stdin.close()
"""


@needs_root
def test_an_ordinary_user_looks_into_own_containers() -> None:
    done = run_as_user([sys.executable, "-c", OWN_CONTAINER])
    assert done.returncode == 0, done.stderr
    head, _, text = done.stdout.partition("\n")
    pid, code = map(int, head.split())
    document = read_document(text, "why")
    assert (code, document["bind"]) == (ExitCode.NO, "EADDRINUSE")
    assert {holder["pid"] for holder in document["holders"]} == {pid}
    # Of what has not been looked for, it is not said that there is none.
    assert ("nat-rules-unseen" in {gap["code"] for gap in document["gaps"]}) is has_nat()
