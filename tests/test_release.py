"""What the release command says of each answer of the advisory service."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.release import sources
from tests.release.packages import (
    CLEAN,
    UNKNOWN,
    UNREACHED,
    VULNERABLE,
    licence,
    runtime_packages,
    verdict,
)

FINE: dict[str, Any] = {"name": "rich", "version": "15.0.0", "vulns": []}
SKIPPED = {"name": "psutil", "skip_reason": "not found"}
FLAWED = {
    "name": "textual",
    "version": "8.2.8",
    "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["8.2.9"]}],
}


def test_each_package_that_runs_has_a_version_and_a_licence() -> None:
    packages = runtime_packages("sockwatch")
    assert {"textual", "psutil", "pyroute2", "rich", "linkify-it-py"} <= packages.keys()
    assert not {"pytest", "ruff", "sockwatch"} & packages.keys()
    for package in packages.values():
        assert package.version
        assert licence(package) != "?", package.name


@pytest.mark.parametrize(
    ("audited", "code", "line"),
    [
        ([FINE], CLEAN, "vulnerabilities: none known in 1 packages"),
        ([FINE, FLAWED, SKIPPED], VULNERABLE, "textual 8.2.8: PYSEC-2026-1, fixed in 8.2.9"),
        ([FINE, SKIPPED], UNKNOWN, "psutil: not audited: not found"),
        ([SKIPPED], UNKNOWN, f"{UNREACHED}: it knows none of these packages"),
    ],
)
def test_the_verdict(audited: list[dict[str, Any]], code: int, line: str) -> None:
    assert (verdict(audited)[0], verdict(audited)[1][0]) == (code, line)


def test_outside_of_git_the_sources_have_the_time_of_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").touch()
    os.utime(tmp_path / "pyproject.toml", (1_580_601_600,) * 2)
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert sources.epoch.__wrapped__() == 1_580_601_600
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    assert sources.epoch.__wrapped__() == 1
