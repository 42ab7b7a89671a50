from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sockwatch.bind import BindRequest, explain_bind
from sockwatch.model import HostFacts
from tests.bind.calls import attempt, new_socket
from tests.bind.makers import FACTS, request, snapshot, socket
from tests.bind.oracle import FACTS as NAMESPACE
from tests.bind.oracle import OTHER_UID, snapshot_of
from tests.support.worker import Worker


@pytest.mark.parametrize(
    ("address", "changes", "answer", "rule"),
    [
        ("127.9.9.9", {}, "ok", None),
        ("10.1.2.3", {}, "ok", None),
        ("10.1.2.255", {}, "ok", None),
        ("10.1.2.4", {}, "EADDRNOTAVAIL", "not-local"),
        ("224.0.0.1", {}, "ok", None),
        ("::ffff:10.1.2.4", {}, "EADDRNOTAVAIL", "not-local"),
        ("::ffff:10.1.2.3", {"v6only": True}, "EINVAL", "v6only-mapped"),
        ("2001:db8::5", {"device": "eth1"}, "ok", None),
        ("2001:db8::6", {}, "EADDRNOTAVAIL", "tentative"),
        ("2001:db8::7", {}, "EADDRNOTAVAIL", "not-local"),
        ("::1", {"device": "eth0"}, "EADDRNOTAVAIL", "not-local"),
        ("fe80::1", {}, "EINVAL", "no-zone"),
        ("fe80::1%eth0", {}, "ok", None),
        ("fe80::1", {"device": "eth0"}, "ok", None),
        ("fe80::1%eth1", {}, "EADDRNOTAVAIL", "not-local"),
        ("fe80::1%nope", {}, "ENODEV", "no-device"),
        ("127.0.0.1", {"device": "nope"}, "ENODEV", "no-device"),
        ("ff05::1", {}, "EINVAL", "tcp-multicast"),
        ("ff05::1", {"protocol": "udp"}, "ok", None),
        ("127.0.0.1", {"port": 80}, "EACCES", "privileged-port"),
        ("10.1.2.4", {"port": 80}, "EADDRNOTAVAIL", "not-local"),
        ("2001:db8::7", {"port": 80}, "EACCES", "privileged-port"),
    ],
)
def test_errors_before_the_test(
    address: str, changes: dict[str, Any], answer: str, rule: str | None
) -> None:
    verdict = explain_bind(request(address, **changes), snapshot(), FACTS)
    assert verdict.bind == answer
    assert (verdict.reason.id if verdict.reason else None) == rule


def test_listen_is_judged_on_its_own() -> None:
    verdict = explain_bind(request("10.1.2.4"), snapshot(socket()), FACTS)
    assert (verdict.bind, verdict.listen) == ("EADDRNOTAVAIL", "EADDRINUSE")
    assert [b.rule.id for b in verdict.blockers] == ["no-flags"]


def test_host_settings_change_the_answer() -> None:
    def answer(address: str, port: int = 8080, **facts: Any) -> str:
        return explain_bind(
            request(address, port=port), snapshot_of(kernel="6.18.0"), replace(FACTS, **facts)
        ).bind

    assert answer("10.1.2.4", nonlocal_bind_ipv4=True) == "ok"
    assert answer("2001:db8::7", nonlocal_bind_ipv6=True) == "ok"
    assert answer("::ffff:10.1.2.3", bindv6only=True) == "EINVAL"
    assert answer("127.0.0.1", 80, unprivileged_port_start=0) == "ok"
    assert answer("127.0.0.1", 80, net_bind_service=True) == "ok"
    assert answer("::1", ipv6=False) == "EAFNOSUPPORT"


def test_bindv6only_keeps_the_wildcards_apart() -> None:
    facts = replace(FACTS, bindv6only=True)
    assert explain_bind(request("::"), snapshot(socket()), facts).bind == "ok"
    assert explain_bind(request("::"), snapshot(socket()), FACTS).bind == "EADDRINUSE"


def test_what_was_not_seen_is_a_gap() -> None:
    def codes(wanted: BindRequest, facts: HostFacts) -> list[str]:
        return [g.code for g in explain_bind(wanted, snapshot_of(kernel="6.18.0"), facts).gaps]

    assert codes(request("10.1.2.3"), HostFacts()) == ["addresses-unseen"]
    assert codes(request(port=80), HostFacts()) == ["privilege-unseen"]
    assert codes(request(port=80, uid=0), FACTS) == ["privilege-assumed"]
    assert codes(request(), HostFacts()) == []


ADDRESSES = (
    "127.0.0.1", "127.9.9.9", "127.255.255.255", "1.2.3.4", "255.255.255.255", "224.0.0.1",
    "0.0.0.0", "::", "::1", "::ffff:127.0.0.1", "::ffff:1.2.3.4", "::ffff:224.0.0.1",
    "::ffff:0.0.0.0", "2001:db8::7", "ff02::1", "ff05::1", "fe80::1", "fe80::1%lo", "::7f00:1",
)  # fmt: skip


def test_the_kernel_agrees(kernel_oracle: None) -> None:
    """Every address, low and high port, v6only, device and user, on an empty namespace."""
    wanted = [
        BindRequest(protocol, address, port, v6only=v6only, device=device)
        for protocol in ("tcp", "udp")
        for address in ADDRESSES
        for port in (80, 8080)
        for v6only in ((False, True) if ":" in address else (False,))
        for device in (None, "lo", "nope")
    ]
    for uid in (0, OTHER_UID):
        facts = replace(NAMESPACE, uid=uid, net_bind_service=uid == 0)
        with Worker(lambda uid=uid: _binder(uid)) as worker:  # type: ignore[misc]
            answers = worker.ask(wanted)
        said = [explain_bind(r, snapshot_of(), facts).bind for r in wanted]
        wrong = [w for w in zip(wanted, said, answers, strict=True) if w[1] != w[2]]
        assert wrong == []


def _binder(uid: int) -> Callable[[list[BindRequest]], list[str]]:
    import os

    if uid:
        os.setresuid(uid, uid, uid)
    return lambda wanted: [attempt(lambda r=r: _bind(r)) for r in wanted]  # type: ignore[misc]


def _bind(wanted: BindRequest) -> None:
    import socket

    address, _, zone = wanted.address.partition("%")
    with new_socket(wanted) as s:
        if wanted.family == "ipv6":
            s.bind((address, wanted.port, 0, socket.if_nametoindex(zone) if zone else 0))
        else:
            s.bind((address, wanted.port))
