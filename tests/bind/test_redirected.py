"""What NAT rules do to who binds a port: by real connections, and by made-up rules."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from sockwatch.bind import BindRequest, Verdict, explain_bind
from sockwatch.kernel.surroundings import take_snapshot
from sockwatch.model import (
    Destinations,
    HostFacts,
    Origin,
    OwnAddress,
    Redirect,
    Route,
    RouteTable,
)
from tests.support import build
from tests.support.tools import need

HERE, THERE, SPARE = "10.7.0.1", "10.7.0.2", "10.7.0.9"
PORT = 8080
FACTS = HostFacts(
    ipv4_tables=(RouteTable(255, (Route("127.0.0.0/8", "lo"), Route(f"{HERE}/32", "eth0"))),),
    ipv6_addresses=(OwnAddress("::1", "lo"),),
    bindv6only=False,
)
TO = Redirect("tcp", "ipv4", "DNAT", "10.88.0.2", 80, "prerouting", (), False, "rule")
LOCAL = TO._replace(hook="output")
TO_IPV6 = TO._replace(family="ipv6", address="fd00::2")
NOT_LOOPBACK = LOCAL._replace(limits=(Destinations(("127.0.0.0/8",), left_out=True),))
HALVES = Destinations(("127.0.0.0/9", "10.0.0.0/8", "127.128.0.0/9"))
CONDITIONAL = TO._replace(is_conditional=True)


def explained(*redirects: Redirect, address: str = "0.0.0.0", **options: bool) -> Verdict:
    shown = replace(build.snapshot([]), redirects=redirects, facts=FACTS)
    return explain_bind(BindRequest("tcp", address, PORT, **options), shown)  # type: ignore[arg-type]


def who(*redirects: Redirect, address: str = "0.0.0.0", **options: bool) -> str | None:
    """Who does not reach the server, as it is said."""
    verdict = explained(*redirects, address=address, **options)
    assert verdict.bind == "ok"
    if verdict.cause is None:
        return None
    assert verdict.cause.id == "redirected"
    return verdict.cause.text.removeprefix("you may bind, but ").partition(":")[0]


NO_CLIENT, NO_OTHER_HOST = "no client will reach you", "no client on another host will reach you"
SOME_WILL, SOME_MAY = "some clients will not reach you", "some clients may not reach you"


@pytest.mark.parametrize(
    ("redirects", "said"),
    [
        ((TO, LOCAL), NO_CLIENT),
        ((TO,), NO_OTHER_HOST),
        ((LOCAL,), "no client in this network namespace will reach you"),
        ((CONDITIONAL,), SOME_MAY),
        ((TO, CONDITIONAL), NO_OTHER_HOST),
        ((TO._replace(limits=(Destinations((f"{HERE}/32",)),)),), SOME_WILL),
        ((TO._replace(limits=(Destinations(("10.96.0.1/32",)),)),), None),
        ((TO._replace(limits=(Destinations(("0.0.0.0/0",)),)),), NO_OTHER_HOST),
        ((TO._replace(limits=(Destinations(("10.0.0.0/8",), left_out=True),)),), SOME_WILL),
        ((TO._replace(limits=(Destinations(("0.0.0.0/0",), left_out=True),)),), None),
        ((TO._replace(limits=(HALVES,)),), NO_OTHER_HOST),
        ((TO_IPV6,), None),
        ((TO._replace(protocol="udp"),), None),
        ((TO._replace(target="REDIRECT", address=None, port=PORT),), None),
        ((TO._replace(target="DNAT", address=None, port=PORT),), NO_OTHER_HOST),
    ],
)
def test_for_every_address(redirects: tuple[Redirect, ...], said: str | None) -> None:
    assert who(*redirects) == said


@pytest.mark.parametrize(
    ("redirects", "address", "said"),
    [
        ((TO,), "127.0.0.1", None),  # what is sent to it passes the other hook alone
        ((LOCAL,), "127.0.0.1", NO_CLIENT),
        ((TO._replace(limits=(Destinations((f"{HERE}/32",)),)),), HERE, NO_OTHER_HOST),
        ((TO._replace(limits=(Destinations(("127.0.0.0/8",)),)),), HERE, None),
        ((NOT_LOOPBACK,), "127.0.0.1", None),
        ((TO._replace(address=HERE, port=PORT),), HERE, None),
        ((TO,), "::", SOME_WILL),
        ((TO, TO_IPV6), "::", NO_OTHER_HOST),
        ((TO_IPV6,), "::", SOME_WILL),
    ],
)
def test_for_one_address(redirects: tuple[Redirect, ...], address: str, said: str | None) -> None:
    assert who(*redirects, address=address) == said


def test_many_networks_and_addresses() -> None:
    networks = tuple(f"10.{number >> 8}.{number & 255}.0/25" for number in range(5000))
    rules = [
        TO._replace(limits=(Destinations((*networks, f"10.99.0.{number}/32")),))
        for number in range(10)
    ]
    routes = [Route(f"10.{number >> 8}.{number & 255}.1/32", "lo") for number in range(1000)]
    facts = replace(FACTS, ipv4_tables=(RouteTable(255, tuple(routes)),))
    shown = replace(build.snapshot([]), redirects=tuple(rules), facts=facts)
    started = time.process_time()
    verdict = explain_bind(BindRequest("tcp", "0.0.0.0", PORT), shown)
    assert time.process_time() - started < 5
    assert NO_OTHER_HOST in str(verdict.cause)


def test_for_ipv6_alone() -> None:
    assert who(TO, address="::", v6only=True) is None
    assert who(TO_IPV6, address="::", v6only=True) == NO_OTHER_HOST


def test_addresses_that_are_unknown_may_be_meant() -> None:
    limited = TO._replace(limits=(Destinations(("10.96.0.1/32",)),))
    shown = replace(build.snapshot([]), redirects=(limited,))
    verdict = explain_bind(BindRequest("tcp", "0.0.0.0", PORT), shown)
    assert verdict.cause is not None
    assert SOME_WILL in verdict.cause.text


def test_what_is_said_of_the_place() -> None:
    web = Origin("podman", "12ab" * 16, "web2", "cgroup")
    verdict = explained(TO._replace(container=web), LOCAL._replace(container=web))
    assert verdict.cause is not None
    assert verdict.cause.text == (
        "you may bind, but no client will reach you: DNAT to 10.88.0.2:80 (container web2)"
    )
    assert verdict.cause.evidence == ("there is a rule of rule",)
    (fix,) = verdict.fixes
    assert fix.command is None
    assert fix.text.startswith("stop container web2")


@contextmanager
def a_host_and_a_client() -> Iterator[int]:
    """This thread in a namespace with HERE, and a process in another one with THERE: its pid."""
    need("ip")
    with subprocess.Popen(
        ["unshare", "-n", "sh", "-c", "echo; exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as client:
        assert client.stdout is not None
        client.stdout.readline()
        for command in (
            f"ip link add veth0 type veth peer name veth1 netns {client.pid}",
            f"ip address add {HERE}/24 dev veth0",
            "ip link set veth0 up",
            f"nsenter -t {client.pid} -n ip address add {THERE}/24 dev veth1",
            f"nsenter -t {client.pid} -n ip link set veth1 up",
        ):
            subprocess.run(command.split(), check=True)
        yield client.pid
        client.stdin.close()  # type: ignore[union-attr]


def reaches(port: int, from_pid: int | None = None) -> bool:
    """Whether a connection to HERE meets a listener, from here or from that process's namespace."""
    code = f"import socket; socket.create_connection(('{HERE}', {port}), 5)"
    enter = [] if from_pid is None else ["nsenter", "-t", str(from_pid), "-n"]
    command = [*enter, sys.executable, "-c", code]
    done = subprocess.run(command, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0 or b"ConnectionRefusedError" in done.stderr, done.stderr
    return done.returncode == 0


@pytest.mark.parametrize("hook", ["prerouting", "output"])
def test_who_reaches_a_server_is_what_the_kernel_does(netns: None, hook: str) -> None:
    need("nft")
    with a_host_and_a_client() as client:
        chain = f"type nat hook {hook} priority -100; tcp dport {PORT} redirect to :90;"
        subprocess.run(["nft", f"table ip t {{ chain c {{ {chain} }}; }}"], check=True)
        shown = take_snapshot(PORT)
        verdict = explain_bind(BindRequest("tcp", "0.0.0.0", PORT), shown)
        assert verdict.bind == "ok"
        assert verdict.cause is not None
        with socket.create_server(("0.0.0.0", PORT)):
            assert reaches(PORT, client) is (hook == "output")
            assert reaches(PORT) is (hook == "prerouting")
        where = "on another host" if hook == "prerouting" else "in this network namespace"
        assert f"no client {where} will reach you: REDIRECT to port 90" in verdict.cause.text
