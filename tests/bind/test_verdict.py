from __future__ import annotations

from dataclasses import replace

import pytest

from sockwatch.bind import explain_bind, matrix
from sockwatch.model import Gap, GapCode, SockwatchError
from tests.bind.makers import FACTS, UNKNOWN, group, request, snapshot, socket
from tests.bind.oracle import snapshot_of

PLAIN, ADDR, PORT, BOTH = (False, False), (True, False), (False, True), (True, True)


@pytest.mark.parametrize(
    ("owner", "flags", "answer", "rule"),
    [
        (socket(flags=BOTH), PLAIN, "EADDRINUSE", "no-flags"),
        (socket(flags=ADDR), ADDR, "EADDRINUSE", "listening"),
        (socket(flags=PORT), PORT, "ok", None),
        (socket(flags=PORT, uid=0), PORT, "EADDRINUSE", "other-user"),
        (socket("BOUND", flags=ADDR), ADDR, "ok", None),
        (socket("BOUND"), ADDR, "EADDRINUSE", "flag-on-one-side"),
        (group(flags=ADDR), ADDR, "ok", None),
        (group(flags=PORT), PORT, "ok", None),
        (group(flags=ADDR), PORT, "EADDRINUSE", "time-wait"),
        (group("ESTABLISHED", flags=BOTH, uid=0), BOTH, "ok", None),
        (group("ESTABLISHED", flags=BOTH, uid=0), PORT, "EADDRINUSE", "other-user"),
        (socket(device="eth0"), PLAIN, "EADDRINUSE", "no-flags"),
    ],
)
def test_one_owner(owner: object, flags: tuple[bool, bool], answer: str, rule: str | None) -> None:
    verdict = explain_bind(request(flags=flags), snapshot(owner), FACTS)  # type: ignore[arg-type]
    assert (verdict.bind, verdict.listen) == (answer, answer)
    assert [b.rule.id for b in verdict.blockers] == ([rule] if rule else [])
    assert verdict.conditions == ()


def test_devices_part_only_if_both_have_one() -> None:
    owners = snapshot(socket(device="eth0"))
    assert explain_bind(request(device="eth1"), owners, FACTS).bind == "ok"
    assert explain_bind(request(device="eth0"), owners, FACTS).bind == "EADDRINUSE"


def test_an_unknown_flag_is_named_with_what_each_value_would_mean() -> None:
    waiting = group(flags=UNKNOWN, count=801)
    verdict = explain_bind(request(flags=ADDR), snapshot(waiting), FACTS)
    assert (verdict.bind, verdict.listen) == ("depends", "depends")
    [condition] = verdict.conditions
    assert condition[:4] == (waiting, "SO_REUSEADDR", "ok", "EADDRINUSE")
    [blocker] = verdict.blockers
    assert (blocker.certain, blocker.count, blocker.frees_in_s) == (False, 801, 41.0)
    assert blocker.unknowns == ("SO_REUSEADDR",)


def test_either_flag_may_save_the_request() -> None:
    verdict = explain_bind(request(flags=BOTH), snapshot(group(flags=UNKNOWN)), FACTS)
    found = {c.unknown: (c.yes, c.no) for c in verdict.conditions}
    assert found == {"SO_REUSEADDR": ("ok", "depends"), "SO_REUSEPORT": ("ok", "depends")}


def test_one_unknown_flag_of_a_listener_decides_alone() -> None:
    verdict = explain_bind(request(flags=PORT), snapshot(socket(flags=UNKNOWN)), FACTS)
    assert [(c.unknown, c.yes, c.no) for c in verdict.conditions] == [
        ("SO_REUSEPORT", "ok", "EADDRINUSE")
    ]


def test_without_flags_of_its_own_nothing_depends() -> None:
    owners = snapshot(socket(flags=UNKNOWN, uid=None), group(flags=UNKNOWN))
    verdict = explain_bind(request(), owners, FACTS)
    assert verdict.bind == "EADDRINUSE"
    assert all(b.certain for b in verdict.blockers)


def test_a_certain_blocker_beats_an_unknown_one() -> None:
    owners = snapshot(socket(), group(flags=UNKNOWN))
    verdict = explain_bind(request(flags=ADDR), owners, FACTS)
    assert verdict.bind == "EADDRINUSE"
    assert [b.certain for b in verdict.blockers] == [True, False]


def test_an_unknown_user_matters_for_reuseport_only() -> None:
    owners = snapshot(socket(flags=PORT, uid=None))
    verdict = explain_bind(request(flags=PORT), owners, FACTS)
    assert [(c.unknown, c.yes, c.no) for c in verdict.conditions] == [
        ("same user", "ok", "EADDRINUSE")
    ]


@pytest.mark.parametrize(
    ("address", "answer"), [("0.0.0.0", "depends"), ("::ffff:0.0.0.0", "ok"), ("127.0.0.1", "ok")]
)
def test_hidden_v6only_matters_for_the_ipv4_wildcard_only(address: str, answer: str) -> None:
    connection = group("ESTABLISHED", "::1", v6only=None)
    verdict = explain_bind(request(address), snapshot(connection), FACTS)
    assert verdict.bind == answer
    assert [c.unknown for c in verdict.conditions] == ["IPV6_V6ONLY"] * (answer == "depends")


def test_the_kernel_may_remember_a_socket_and_skip_its_test() -> None:
    first = socket("BOUND", "127.0.0.1", ADDR)
    remembered = socket("BOUND", "0.0.0.0", BOTH)
    wanted = request("127.0.0.1", PORT)
    verdict = explain_bind(wanted, snapshot(first, remembered), FACTS)
    assert verdict.bind == "depends"
    assert [(c.owner, c.unknown, c.yes, c.no) for c in verdict.conditions] == [
        (remembered, "port memory", "ok", "EADDRINUSE")
    ]
    other = socket("BOUND", "0.0.0.0", BOTH, uid=0)
    assert explain_bind(wanted, snapshot(first, other), FACTS).bind == "EADDRINUSE"


def test_a_listener_of_another_user_ends_the_memory() -> None:
    owners = snapshot(socket(uid=0, flags=UNKNOWN), group(flags=UNKNOWN))
    verdict = explain_bind(request("127.0.0.1", BOTH), owners, FACTS)
    assert (verdict.bind, verdict.conditions) == ("EADDRINUSE", ())


def test_a_socket_that_is_gone_may_be_remembered_and_that_is_a_gap() -> None:
    verdict = explain_bind(request(flags=PORT), snapshot(socket("BOUND", flags=ADDR)), FACTS)
    assert verdict.bind == "EADDRINUSE"
    assert [g.code for g in verdict.gaps] == ["port-memory"]
    verdict = explain_bind(request(flags=PORT), snapshot(socket(address="127.0.0.1")), FACTS)
    assert verdict.gaps == ()


def test_udp_order_decides_between_a_shared_and_a_blocking_owner() -> None:
    shared = socket("UNCONN", flags=BOTH)
    blocking = socket("UNCONN", flags=ADDR)
    owners = snapshot(shared, blocking, protocol="udp")
    verdict = explain_bind(request(flags=PORT, protocol="udp"), owners, FACTS)
    assert (verdict.bind, verdict.listen) == ("depends", None)
    assert [(c.owner, c.unknown, c.yes) for c in verdict.conditions] == [
        (shared, "scan order", "ok")
    ]
    plain = explain_bind(request(flags=PLAIN, protocol="udp"), owners, FACTS)
    assert plain.bind == "EADDRINUSE"


def test_matrix_asks_for_all_four_flag_pairs() -> None:
    found = matrix(request(), snapshot(group(flags=ADDR)), FACTS)
    assert {flags: v.bind for flags, v in found.items()} == {
        PLAIN: "EADDRINUSE",
        ADDR: "ok",
        PORT: "EADDRINUSE",
        BOTH: "ok",
    }


def test_wildcard_lists_of_old_kernels() -> None:
    owners = socket(address="::", v6only=True, flags=PORT), socket(flags=PLAIN)
    wanted = request("127.0.0.1", PORT)
    assert explain_bind(wanted, snapshot(*owners, kernel="6.8.0"), FACTS).bind == "depends"
    assert explain_bind(wanted, snapshot(*owners, kernel="6.9.0"), FACTS).bind == "EADDRINUSE"


def test_many_udp_sockets_hide_from_a_wildcard_on_some_kernels() -> None:
    owners = [socket("UNCONN", f"127.0.0.{n}") for n in range(1, 13)]
    wanted = request(protocol="udp")
    old = snapshot(*owners, kernel="6.8.0", protocol="udp")
    assert explain_bind(wanted, old, FACTS).bind == "depends"
    new = snapshot(*owners, kernel="6.18.44", protocol="udp")
    assert explain_bind(wanted, new, FACTS).bind == "EADDRINUSE"


def test_a_snapshot_of_another_port_cannot_answer() -> None:
    with pytest.raises(SockwatchError, match="port 8080 only"):
        explain_bind(request(port=9090), replace(snapshot(), only_port=8080), FACTS)


def test_old_kernels_hide_bound_sockets_and_clear_flags_late() -> None:
    seen = replace(snapshot(kernel="6.6.0"), gaps=(Gap(GapCode.BOUND_NOT_VISIBLE, "", None),))
    free = explain_bind(request(), seen, FACTS)
    assert (free.bind, [g.code for g in free.gaps]) == ("ok", ["bound-not-visible", "bound-unseen"])
    taken = explain_bind(request(flags=ADDR), snapshot(socket("BOUND"), kernel="6.6.0"), FACTS)
    assert (taken.bind, [g.code for g in taken.gaps]) == ("EADDRINUSE", ["port-memory"])


@pytest.mark.parametrize(
    ("kernel", "codes"),
    [
        ("strange", ["kernel-unknown"]),
        ("6.18.44", []),
        ("6.19.7-generic", []),
        ("7.3.4+deb13-amd64", []),
        ("7.4.0-rc1", ["kernel-newer"]),
        ("10.2", ["kernel-newer"]),
    ],
)
def test_a_release_whose_rules_are_not_known_is_a_gap(kernel: str, codes: list[str]) -> None:
    for port in (8080, 0):
        verdict = explain_bind(request(port=port), snapshot_of(kernel=kernel), FACTS)
        gaps = [gap for gap in verdict.gaps if gap.code.startswith("kernel-")]
        assert (verdict.bind, [gap.code for gap in gaps]) == ("ok", codes)
        assert all(kernel in gap.text for gap in gaps)


@pytest.mark.parametrize(
    ("protocol", "address", "port"),
    [("sctp", "::", 1), ("tcp", "localhost", 1), ("tcp", "::", 65536), ("udp", "::", -1)],
)
def test_nonsense_is_refused(protocol: str, address: str, port: int) -> None:
    with pytest.raises(SockwatchError):
        request(address, protocol=protocol, port=port)
