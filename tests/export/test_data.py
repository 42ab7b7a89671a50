"""What `export --print` prints, judged by those who read it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sockwatch.cli.export import DATA, data_text
from sockwatch.export.metrics import METRICS
from tests.support.tools import need

HERE = Path(__file__).parent
NAME = re.compile(r"\bsockwatch_[a-z_]+")
UNIT = re.compile(r"^# /etc/systemd/system/(\S+)$", re.MULTILINE)
TYPES = re.compile(r"service|socket|timer")


def ran(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def queries() -> list[str]:
    dashboard = json.loads(data_text("dashboard"))
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def test_each_alert_fires_and_does_not(tmp_path: Path) -> None:
    need("promtool")
    rules = data_text("rules")
    (tmp_path / "rules.yml").write_text(rules)
    tests = (HERE / "rules_test.yml").read_text()
    (tmp_path / "rules_test.yml").write_text(tests)
    ran("promtool", "check", "rules", "rules.yml", cwd=tmp_path)
    ran("promtool", "test", "rules", "rules_test.yml", cwd=tmp_path)
    for alert in re.findall(r"alert: (\w+)", rules):
        parts = tests.split(f"alertname: {alert}")[1:]
        silent = [part[: part.index("\n")] for part in parts if "exp_alerts: []" in part[:40]]
        assert len(silent) >= 1, alert
        assert len(parts) - len(silent) == 1, alert


def test_each_query_of_the_dashboard_parses(tmp_path: Path) -> None:
    need("promtool")
    rules = [{"record": f"q{index}", "expr": each} for index, each in enumerate(queries())]
    document = {"groups": [{"name": "dashboard", "rules": rules}]}
    (tmp_path / "rules.json").write_text(json.dumps(document))  # which is YAML too
    said = ran("promtool", "check", "rules", "rules.json", cwd=tmp_path)
    assert f"{len(rules)} rules found" in said


@pytest.mark.parametrize("what", ["rules", "dashboard"])
def test_what_is_asked_for_is_exported(what: str) -> None:
    text = data_text(what) if what == "rules" else "\n".join(queries())
    named = set(NAME.findall(text))
    exported = {metric.name for metric in METRICS}
    assert named
    assert named <= exported
    if what == "dashboard":
        assert exported - named <= {
            "sockwatch_build_info", "sockwatch_looks_total", "sockwatch_look_errors_total",
        }  # fmt: skip


def test_the_dashboard_fits_any_grafana() -> None:
    dashboard: dict[str, Any] = json.loads(data_text("dashboard"))
    assert dashboard["id"] is None
    assert dashboard["uid"]
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    for panel in dashboard["panels"]:
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"]["uid"] == "${datasource}"


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    need("systemd-analyze")
    text = data_text("units")
    parts = UNIT.split(text)[1:]
    for name, unit in zip(parts[::2], parts[1::2], strict=True):
        (tmp_path / name).write_text(unit)
    said = ran(
        "systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in parts[::2]),
        cwd=tmp_path,
    )  # fmt: skip
    assert str(tmp_path) not in said
    assert not [line for line in said.splitlines() if "sockwatch" in line], said


def test_all_is_printed() -> None:
    assert all(data_text(what).endswith("\n") for what in DATA)
