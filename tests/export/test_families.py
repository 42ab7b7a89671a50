"""Looks as families: golden text, unknown, limits, hostile names."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from sockwatch.bind.failure import unexplained
from sockwatch.export import metrics
from sockwatch.export.exposition import Writer, text_of
from sockwatch.export.failed_binds import MOST_OF_OTHERS, MOST_SERIES, FailedBinds, failed_binds
from sockwatch.export.families import (
    MOST_LISTENERS,
    Exporter,
    ExportGap,
    health_families,
    merged,
)
from sockwatch.export.model import Family, Health, Metric
from sockwatch.failure import Failure
from sockwatch.model import (
    ClientGroup,
    Clients,
    Gap,
    GapCode,
    HostFacts,
    HostSnapshot,
    Netns,
    Port,
    PortSet,
    ReuseFlags,
    Snapshot,
    TimeWait,
)
from tests.support import build

GOLDEN = Path(__file__).parent / "golden" / "metrics.prom"
FACTS = HostFacts(uid=0, port_range=(32768, 60999), reserved_ports=((40000, 40000),))


def look(*ports: Port, gaps: tuple[Gap, ...] = (), clients: Clients | None = None) -> HostSnapshot:
    return HostSnapshot(
        (
            Snapshot(
                "web-1", "6.18.44", build.NOW, 0.02, Netns(1, "host"), ports, gaps, facts=FACTS,
                clients=clients or Clients(told_apart=True),
            ),
        )
    )  # fmt: skip


def server(number: int, name: str = "httpd", flags: ReuseFlags = build.NONE, **more: int) -> Port:
    process = build.process(800 + number, name, unit=f"{name}.service")
    held = (build.holder(process),)
    sock = build.socket("LISTEN", "127.0.0.1", number, flags=flags, holders=held, **more)  # type: ignore[arg-type]
    return build.port(number, listeners=(sock,), holders=held)


def values(families: tuple[Family, ...], metric: Metric) -> dict[tuple[str, ...], float]:
    return {s.labels: s.value for f in families if f.metric == metric for s in f.samples}


def test_golden() -> None:
    waiting = build.group("TIME_WAIT", "127.0.0.1", 7, clock=(30.0, 41.0), flags=build.NONE)
    blocked = server(8080, queue=3, backlog=128)._replace(
        groups=(waiting,), time_wait=TimeWait.of((waiting,))
    )
    old = build.process(1, "web", age_s=90.0)
    new = build.process(2, "web", age_s=9.0)
    shared = build.port(
        9000,
        listeners=tuple(
            build.socket("LISTEN", "::", 9000, flags=build.P, holders=(build.holder(each),))
            for each in (old, new)
        ),
    )
    unknown = build.port(40001, listeners=(build.socket("LISTEN", "0.0.0.0", 40001),))
    group = ClientGroup(
        "tcp", "ipv4", "ESTABLISHED", False, "10.0.0.1", None, "10.0.0.5", 5432, 0, 9, 9, 33000,
        33008, None, None,
    )  # fmt: skip
    clients = Clients((group,), PortSet.of(range(33000, 33009)), told_apart=True)
    gap = Gap(GapCode.FLAGS_UNKNOWN, "some flags", None)
    families = Exporter("1.0").families(
        look(blocked, shared, unknown, gaps=(gap,), clients=clients)
    )
    health = health_families(Health(5, 1, 0.02, 0.5), (ExportGap.FAILED_BINDS_UNWATCHED,))
    labels = ("host", "tcp", "8080", "EADDRINUSE", "listener", "web.service")
    text = text_of(merged((*families, *health, *failed_binds({labels: 4}, 0)))).decode()
    if os.environ.get("SOCKWATCH_UPDATE_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_what_depends_is_absent() -> None:
    waiting = build.group("TIME_WAIT", "127.0.0.1", 7, clock=(30.0, 41.0))
    port = server(8080, flags=ReuseFlags())._replace(
        groups=(waiting,), time_wait=TimeWait.of((waiting,))
    )
    families = Exporter("1").families(look(port))
    assert not values(families, metrics.RESTART_BLOCKED)
    assert not values(families, metrics.RESTART_BLOCKED_SECONDS)


def test_an_unchanged_port_is_told_again() -> None:
    exporter, port = Exporter("1"), server(8080)
    first = exporter.families(look(port))
    assert exporter.families(look(port)) == first
    changed = exporter.families(look(server(8080, flags=build.A)))
    assert values(changed, metrics.LISTENER_INFO) != values(first, metrics.LISTENER_INFO)


def test_time_waits_keep_their_port_for_an_hour() -> None:
    exporter = Exporter("1")
    waiting = build.group("TIME_WAIT", "127.0.0.1", 7, clock=(30.0, 41.0), flags=build.NONE)
    left = build.port(8080, groups=(waiting,))._replace(time_wait=TimeWait.of((waiting,)))
    exporter.families(look(server(8080)))
    soon, late = look(left), look(left, server(81))
    late = HostSnapshot((replace(late.own, time=build.NOW + 3601),))
    assert values(exporter.families(soon), metrics.TIME_WAITS)["host", "tcp", "8080", "no"] == 7
    assert values(exporter.families(late), metrics.TIME_WAITS)["host", "tcp", "other", "no"] == 7


def test_the_longest_queues_are_listed() -> None:
    ports = [server(number, queue=number, backlog=9) for number in range(1, MOST_LISTENERS + 101)]
    families = Exporter("1").families(look(*ports))
    listed = values(families, metrics.QUEUE)
    assert len(listed) == MOST_LISTENERS
    assert min(listed.values()) == 101
    assert values(families, metrics.LEFT_OUT) == {(): 100}
    units = {labels[5] for labels in values(families, metrics.LISTENER_INFO)}
    assert units == {"httpd.service"}


def test_units_are_bounded() -> None:
    ports = [server(number, f"unit{number}") for number in range(1, 200)]
    families = Exporter("1").families(look(*ports))
    units = {labels[5] for labels in values(families, metrics.LISTENER_INFO)}
    assert len(units) == 101
    assert "other" in units


def test_clients_get_no_series() -> None:
    resolver = build.port(
        41000, protocol="udp", listeners=(build.socket("UNCONN", "0.0.0.0", 41000, protocol="udp"),)
    )
    bound = build.port(41001, bound=(build.socket("BOUND", "127.0.0.1", 41001),))
    text = text_of(Exporter("1").families(look(resolver, bound))).decode()
    assert "41000" not in text
    assert "41001" not in text
    assert (
        'sockwatch_bound_only_sockets{address="",netns="host",port="other",protocol="tcp"} 1'
        in text
    )


def test_hostile_names_stay_in_their_label() -> None:
    name = 'a"} 1\nevil{x="\\'
    port = server(8080, name)
    families = Exporter("1").families(look(port))
    for accept in ("", "application/openmetrics-text; version=1.0.0"):
        _, text = Writer().negotiated(families, accept)
        for line in text.decode().splitlines():
            assert line.startswith(
                ("sockwatch_", "# HELP sockwatch_", "# TYPE sockwatch_", "# EOF")
            )
    (labels,) = values(families, metrics.LISTENER_INFO)
    assert labels[4] == 'a"} 1 evil{x="\\'


def test_no_two_samples_are_alike() -> None:
    families = Exporter("1").families(look(server(80), server(81), server(8080)))
    for family in families:
        labels = [sample.labels for sample in family.samples]
        assert len(labels) == len(set(labels))
        assert {len(each) for each in labels} <= {len(family.metric.labels)}


def test_what_is_written_again_is_what_the_library_writes() -> None:
    exporter, writer = Exporter("1"), Writer()
    for ports in ([80], [80, 81], [81, 82], [81, 82], [], [80]):
        families = exporter.families(look(*(server(each, queue=each, backlog=1) for each in ports)))
        assert writer.negotiated(families, "")[1] == text_of(families)
        new = Writer().negotiated(families, "application/openmetrics-text")
        assert writer.negotiated(families, "application/openmetrics-text") == new


def in_netns(number: int, name: str | None, *ports: Port) -> Snapshot:
    netns = Netns(number, name, id=number)
    return replace(look(*ports).own, netns=netns, facts=HostFacts())


def test_namespaces_of_one_name_are_told_apart() -> None:
    own = look(server(80)).own
    host = HostSnapshot((own, in_netns(9, "web", server(80)), in_netns(7, "web", server(80))))
    families = Exporter("1").families(host)
    names = {labels[0] for labels in values(families, metrics.LISTENER_INFO)}
    assert names == {"host", "web", "web 9/9"}  # the eldest keeps the name
    for family in families:
        labels = [sample.labels for sample in family.samples]
        assert len(labels) == len(set(labels)), family.metric.name


def test_namespaces_are_bounded_and_what_is_not_read_of_them_is_a_gap() -> None:
    others = [in_netns(number, None, server(80)) for number in range(2, 1002)]
    families = Exporter("1").families(HostSnapshot((look(server(22)).own, *others)))
    assert sum(len(family.samples) for family in families) < 15 * MOST_LISTENERS
    gaps = {code for (code,) in values(families, metrics.GAP)}
    assert {"netns-left-out", "netns-facts-unread"} <= gaps


def test_udp_sockets_in_the_ephemeral_range_are_counted() -> None:
    def listener(number: int) -> Port:
        sock = build.socket("UNCONN", "0.0.0.0", number, protocol="udp")
        return build.port(number, protocol="udp", listeners=(sock,))

    families = Exporter("1").families(look(listener(53), listener(40000), listener(41641)))
    listed = {labels[3] for labels in values(families, metrics.LISTENER_INFO)}
    assert listed == {"53", "40000"}  # which is reserved: no client gets it
    assert values(families, metrics.EPHEMERAL_UDP) == {("host",): 1}


def test_drops_never_go_back() -> None:
    def shared(**drops: int) -> Port:
        socks = [
            build.socket("LISTEN", "::", 80, flags=build.P, cookie=ord(name))._replace(drops=count)
            for name, count in drops.items()
        ]
        return build.port(80, listeners=tuple(socks))

    exporter = Exporter("1")
    told = [
        values(exporter.families(look(each)), metrics.DROPS)["host", "tcp", "::", "80"]
        for each in (shared(a=5, b=7), shared(b=8), shared(b=8, c=1), shared(c=1))
    ]
    assert told == [12, 13, 14, 14]
    once = Exporter("1", is_once=True).families(look(shared(a=5, b=7)))
    assert not values(once, metrics.DROPS)
    single = Exporter("1", is_once=True).families(look(shared(a=5)))
    assert values(single, metrics.DROPS)["host", "tcp", "::", "80"] == 5


def test_unknown_rules_of_nat_are_a_gap() -> None:
    families = Exporter("1").families(look(server(80)), None)
    assert ("nat-rules-unseen",) in values(families, metrics.GAP)
    assert not values(families, metrics.PUBLISHED)


def test_a_newer_kernel_is_a_gap() -> None:
    host = HostSnapshot((replace(look(server(80)).own, kernel="99.1.0"),))
    assert ("kernel-newer",) in values(Exporter("1").families(host), metrics.GAP)


def test_odd_versions_are_answered_with_the_usual_format() -> None:
    families = Exporter("1").families(look(server(80)))
    usual = Writer().negotiated(families, "")
    for version in ("x", "1.x", "", "9" * 5000, "1.1.\r\n X: y"):
        accept = f"application/openmetrics-text; version={version}"
        content_type, text = Writer().negotiated(families, accept)
        assert content_type.isprintable()
        assert version == "" or (content_type, text) == usual


def test_failed_binds_have_a_closed_set_of_labels() -> None:
    counts = FailedBinds()
    failure = Failure(0.0, "bind", "EACCES", 1, 1, "x", 0, 3, protocol="tcp")
    counts.add(
        unexplained(failure._replace(port=number, errno=name))
        for number in range(1, 2000)
        for name in ("EADDRINUSE", str(500 + number))
    )
    samples = counts.families(0)[0].samples
    assert len(samples) <= MOST_SERIES + MOST_OF_OTHERS + 4
    assert {sample.labels[3] for sample in samples} == {"EADDRINUSE", "other"}
    assert sum(sample.value for sample in samples) == 2 * 1999
