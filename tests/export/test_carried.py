"""The document of sockwatch snapshot: nothing is lost, and nothing foreign is trusted."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from dataclasses import replace
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from sockwatch.export.carried import (
    SCHEMA,
    Carried,
    CutOffError,
    carried_document,
    read_carried,
)
from sockwatch.model import (
    Gap,
    GapCode,
    HostSnapshot,
    Origin,
    Publication,
    Snapshot,
    SockwatchError,
)
from sockwatch.model.codec import read, read_processes, write_processes, written
from sockwatch.model.json_values import MalformedError
from tests.export.values import field_names, records, values
from tests.support import build
from tests.support.json_values import JSON
from tests.support.schemas import read_document

VERSION = "0.1.0"
PHASES = (Phase.explicit, Phase.generate)  # to shrink such large values takes minutes


def kinds_within(kind: Any, seen: dict[str, Any]) -> dict[str, Any]:
    """Every record that the type may hold, by name."""
    for argument in get_args(kind):
        kinds_within(argument, seen)
    is_record = isinstance(kind, type) and (
        dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")
    )
    if is_record and kind.__name__ not in seen:
        seen[kind.__name__] = kind
        for hint in get_type_hints(kind).values():
            kinds_within(hint, seen)
    return seen


KINDS = kinds_within(HostSnapshot, {})


def there_and_back(kind: Any, value: Any) -> Any:
    shared: dict[Any, int] = {}
    data = json.loads(json.dumps(written(kind, value, shared)))
    processes = json.loads(json.dumps(write_processes(shared)))
    return read(kind, data, read_processes(processes))


def document_of(*snapshots: Snapshot, **changes: Any) -> dict[str, Any]:
    carried = Carried(HostSnapshot(snapshots), VERSION, is_wide=len(snapshots) > 1)
    made: dict[str, Any] = json.loads(carried_document(carried))
    return made | changes


def refusal(document: Any) -> str:
    with pytest.raises(SockwatchError) as refused:
        read_carried(json.dumps(document), VERSION)
    return check_line(str(refused.value))


def check_line(text: str) -> str:
    """The message of an error, which fits into a line."""
    assert text.isprintable()
    assert len(text) < 300
    return text


def test_the_model_has_what_a_snapshot_is_made_of() -> None:
    assert {"Snapshot", "Port", "Socket", "Process", "Origin", "RouteTable", "TimeWait"} <= {*KINDS}


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=25, phases=PHASES)
@given(data=st.data())
def test_what_is_written_is_read_back(name: str, data: st.DataObject) -> None:
    value = data.draw(records(KINDS[name]))
    assert there_and_back(KINDS[name], value) == value


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=15, phases=PHASES)
@given(data=st.data())
def test_every_field_is_written_unless_it_has_its_default(name: str, data: st.DataObject) -> None:
    kind = KINDS[name]
    value = data.draw(records(kind))
    shared: dict[Any, int] = {}
    entry = written(kind, value, shared)
    if name == "Process":
        (entry,) = write_processes(shared)
    left_out = {field for field in field_names(kind) if field not in entry}
    without = {field: value_of(value, field) for field in field_names(kind) if field in entry}
    assert kind(**without) == value, left_out


def value_of(record: Any, field: str) -> Any:
    return getattr(record, field)


@settings(max_examples=40, phases=PHASES)
@given(values(Snapshot), st.booleans())
def test_documents_keep_everything(snapshot: Snapshot, is_outside: bool) -> None:
    gaps = (Gap(GapCode.NETNS_HIDDEN, "some", None),)
    carried = Carried(HostSnapshot((snapshot,), gaps), VERSION, is_outside=is_outside)
    text = carried_document(carried)
    assert text.count("\n") == 1
    assert read_carried(text, VERSION) == carried
    read_document(text, "snapshot")


@settings(max_examples=100, phases=PHASES)
@given(JSON)
def test_any_json_is_a_snapshot_or_our_error(value: Any) -> None:
    for document in (value, {"document": "snapshot", "schema": SCHEMA, "snapshots": value},
                     document_of(build.snapshot(()), snapshots=[value]),
                     document_of(build.snapshot(()), processes=value)):  # fmt: skip
        try:
            read_carried(json.dumps(document), VERSION)
        except SockwatchError as error:
            check_line(str(error))


@settings(max_examples=150, phases=PHASES)
@given(data=st.data())
def test_a_document_with_one_value_changed_is_a_snapshot_or_our_error(data: st.DataObject) -> None:
    document = document_of(build.snapshot(build.web_host()))
    place: Any = document
    while True:
        key = data.draw(
            st.sampled_from([*(place if isinstance(place, dict) else range(len(place)))])
        )
        if not (isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans())):
            break
        place = place[key]
    place[key] = data.draw(JSON)
    try:
        read_carried(json.dumps(document), VERSION)
    except SockwatchError as error:
        check_line(str(error))


@given(st.binary(max_size=30))
def test_any_bytes_are_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(SockwatchError):
        read_carried(data, VERSION)


def with_value(path: str, value: Any) -> dict[str, Any]:
    """The document of a host with gunicorn on port 8080, changed in one place."""
    document = document_of(build.snapshot((build.gunicorn(),)))
    *names, last = path.split(".")
    place: Any = document
    for name in names:
        place = place[int(name) if name.isdecimal() else name]
    place[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("snapshots.0.ports.0.number", 70000, "snapshots[0].ports[0].number: 70000 is no port"),
        ("snapshots.0.ports.0.number", True, "snapshots[0].ports[0].number: true is no whole"),
        ("snapshots.0.ports.0.half_open", -1, "-1 is no whole number"),
        ("snapshots.0.ports.0.half_open", 10**30, "a huge number is no whole number"),
        ("snapshots.0.ports.0.protocol", "sctp", "'sctp' is no word that this sockwatch knows"),
        ("snapshots.0.ports.0.states", {"OPEN": 1}, "is no count by state"),
        ("snapshots.0.ports.0.listeners.0.address", "web", "'web' is no IP address"),
        ("snapshots.0.ports.0.listeners.0.address", "fe80::1%eth0", "is no IP address"),
        ("snapshots.0.ports.0.listeners.0.family", "ipv6", "0.0.0.0 is no ipv6 address"),
        ("snapshots.0.ports.0.listeners.0.state", "open", "'open' is no state of a socket"),
        ("snapshots.0.ports.0.listeners.0.holders.0.process", 99, "no process 99"),
        ("snapshots.0.ports.0.listeners.0.holders.0.pid", 7, "process 4242 is not pid 7"),
        ("snapshots.0.time", "now", "snapshots[0].time: 'now' is no number of seconds"),
        ("snapshots.0.time", 1e300, "is no number of seconds"),
        ("snapshots.0.host", None, "snapshots[0].host: null is no text"),
        ("snapshots.0.gaps", [{"code": "x", "text": "", "remedy": ""}], "gaps[0].code: 'x'"),
        ("snapshots.0.facts", {"own_command": ["rm", "-rf", "/"]}, "is no command that starts"),
        ("snapshots.0.time", 10**400, "snapshots[0].time: a huge number is no number of seconds"),
        (
            "snapshots.0.facts",
            {"own_command": ["rm", "-rf", "/", "sockwatch"]},
            "is no command that",
        ),
        (
            "snapshots.0.facts",
            {"own_command": ["sh", "-c", "id", "sockwatch"]},
            "is no command that",
        ),
        ("snapshots.0.facts", {"reserved_ports": [[0, 65535]] * 3}, "is no list of reserved ports"),
        ("processes.0.halt", {"kind": "frozen", "thaw": "{0.__class__}"}, "no way to thaw"),
        ("processes.0.halt", {"kind": "odd"}, "processes[0].halt.kind: 'odd' is no kind of halt"),
        ("processes.0.pid", "\x1b]0;x\x07", "is no whole number"),
        ("snapshots", [], "0 snapshots are not one"),
    ],
)
def test_what_is_malformed_is_named(path: str, value: Any, message: str) -> None:
    assert message in refusal(with_value(path, value))


def test_a_missing_field_is_named() -> None:
    document = document_of(build.snapshot(()))
    del document["snapshots"][0]["netns"]
    assert refusal(document).endswith("malformed: snapshots[0].netns: it is missing")


def test_a_port_is_there_once() -> None:
    document = document_of(build.snapshot((build.sshd(),)))
    document["snapshots"][0]["ports"] *= 2
    assert "a port is there twice" in refusal(document)


def test_unknown_keys_are_accepted() -> None:
    document = with_value("snapshots.0.later", {"a": [1]}) | {"new": 1}
    document["processes"][0]["mood"] = "good"
    carried = read_carried(json.dumps(document), VERSION)
    assert carried.own == build.snapshot((build.gunicorn(),))


@pytest.mark.parametrize(
    ("schema", "older"), [(SCHEMA + 1, "this side is older; update here"),
                          (SCHEMA - 1, "the other side is older; update there")],
)  # fmt: skip
def test_another_schema_is_refused(schema: int, older: str) -> None:
    assert refusal(document_of(build.snapshot(()), schema=schema, sockwatch="9.0")).endswith(older)


def test_the_writer_of_what_is_malformed_is_named() -> None:
    document = with_value("snapshots.0.host", 1) | {"sockwatch": "9.\x1b0"}
    assert "which sockwatch 9.?0 has written" in refusal(document)


def test_text_is_cleaned() -> None:
    document = with_value("snapshots.0.host", "web\x1b[2J\u202e1\n" + "x" * 99_999)
    document["processes"][0]["name"] = "ng\x9binx"
    own = read_carried(json.dumps(document), VERSION).own
    assert own.host.startswith("web?[2J?1 xxx")
    assert len(own.host) == 1 << 14
    assert "ng?inx" in {holder.process.name for holder in own.ports[0].holders if holder.process}


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "NaN", "1" * 5000, "", "\xff"])
def test_no_json_is_refused(text: str) -> None:
    with pytest.raises(SockwatchError, match="no document"):
        read_carried(text, VERSION)


@pytest.mark.parametrize(
    "words",
    [["/opt/sockwatch-0.1.0-linux-x86_64.pyz"], [sys.executable, "/opt/copy.pyz"],
     ["/usr/bin/sockwatch"], [sys.executable, "-I", "-m", "sockwatch"]],
)  # fmt: skip
def test_whatever_sockwatch_runs_from_its_documents_are_read(words: list[str]) -> None:
    document = with_value("snapshots.0.facts", {"own_command": words})
    assert read_carried(json.dumps(document), VERSION).own.facts.own_command == tuple(words)


@pytest.mark.parametrize(
    ("client", "is_one"),
    [([], True), (["docker"], True), (["docker", "-H", "unix:///run/x"], True), (["podman"], True),
     (["podman", "--root", "/a", "--tmpdir", "/b"], True), (["docker", "-H"], False),
     (["docker", "-H", "tcp://evil"], False), (["podman", "--root"], False),
     (["podman", "rm", "-fa"], False), (["sh", "-c", "id"], False)],
)  # fmt: skip
def test_commands_about_containers_begin_as_ours(client: list[str], is_one: bool) -> None:
    container = Origin("podman", "a" * 64, "web2", "cgroup")
    publication = Publication("tcp", 9, "podman", container, None, 80, tuple(client))
    document = document_of(replace(build.snapshot(()), publications=(publication,)))
    if is_one:
        assert read_carried(json.dumps(document), VERSION).own.publications == (publication,)
    else:
        assert "is no command about a container" in refusal(document)


def test_a_document_that_is_cut_off_is_told_from_no_document() -> None:
    text = carried_document(Carried(HostSnapshot((build.snapshot(()),)), VERSION))
    with pytest.raises(CutOffError, match="cut off"):
        read_carried(text[:200], VERSION)
    with pytest.raises(SockwatchError, match=r"one line of JSON: 'Welcome to web-1 \?'"):
        read_carried("Welcome to web-1 \x07\n", VERSION)


def test_deep_origins_are_refused() -> None:
    origin: dict[str, Any] = {"kind": "docker", "id": "a", "name": None, "known_by": "cgroup"}
    for _ in range(30):
        origin = origin | {"outer": origin}
    assert "too many origins" in refusal(with_value("processes.0.origin", origin))


def test_what_is_too_large_is_refused() -> None:
    with pytest.raises(SockwatchError, match="larger than 32 MiB"):
        read_carried(b" " * (33 << 20), VERSION)


def test_huge_counts_cost_nothing() -> None:
    many = build.group("TIME_WAIT", "127.0.0.1", 2**64 - 1, clock=(1.0, 2.0))
    snapshot = build.snapshot((build.port(9000, groups=(many,)),))
    started = time.process_time()
    read_carried(json.dumps(document_of(snapshot)), VERSION)
    assert time.process_time() - started < 10


def test_an_origin_is_read_by_itself() -> None:
    with pytest.raises(MalformedError, match="it is missing"):
        read(Origin, {"kind": "docker"})
