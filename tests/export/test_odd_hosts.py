"""Whatever a readable document says, what asks about it gets an answer or one line."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sockwatch.cli.dispatch import dispatch
from sockwatch.export.carried import Carried, carried_document
from sockwatch.model import HostSnapshot, Port, Snapshot
from tests.export.values import records, values
from tests.support import build

FEW = settings(
    max_examples=40, phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, 0, 1, 65535, 2**64 - 1, -1.0, 1e11, "", "::", "0.0.0.0", [], {}]
)


def ask_all(text: str, number: int) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(text)
        file.flush()
        for words in (
            ["ports"],
            ["ports", "--json"],
            [str(number)],
            ["why", str(number), "--json"],
            ["metrics"],
        ):
            said, shown = io.StringIO(), io.StringIO()
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(shown):
                code = dispatch(["--from", file.name, *words])
            text = said.getvalue() + shown.getvalue()
            assert code in (0, 1, 3), text
            assert "bug" not in said.getvalue()
            assert all(c.isprintable() or c == "\n" for c in text)
            assert code != 3 or shown.getvalue() or said.getvalue().count("\n") <= 2


def document(snapshot: Snapshot) -> str:
    return carried_document(Carried(HostSnapshot((snapshot,)), "0"))


@FEW
@given(values(Snapshot))
def test_made_of_anything(snapshot: Snapshot) -> None:
    ask_all(document(snapshot), snapshot.ports[0].number or 1 if snapshot.ports else 8080)


@FEW
@given(st.lists(records(Port), min_size=1, max_size=3, unique_by=lambda port: port.key))
def test_ports_made_of_anything(ports: list[Port]) -> None:
    ask_all(document(build.snapshot(ports)), ports[0].number or 1)


@FEW
@given(data=st.data())
def test_with_values_in_wrong_places(data: st.DataObject) -> None:
    wrong: Any = json.loads(document(build.snapshot(build.web_host())))
    for _ in range(data.draw(st.integers(1, 4))):
        place = wrong["snapshots"][0]
        while True:
            keys = [*place] if isinstance(place, dict) else [*range(len(place))]
            key = data.draw(st.sampled_from(keys))
            if not (isinstance(place[key], dict | list) and place[key]):
                break
            place = place[key]
        place[key] = data.draw(ODD)
    ask_all(json.dumps(wrong), 8080)
