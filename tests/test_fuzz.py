"""The targets of the long run exist, and no property test of what reads the kernel is left out."""

from __future__ import annotations

import re

from tests.fuzz import ROOT, TARGETS

OF_OUR_OWN_VALUES = {"tests/kernel/test_clients.py"}
PROPERTY_TEST = re.compile(r"^@given\((?:.|\n)*?^def (test_\w+)", re.MULTILINE)


def test_none_is_left_out_and_none_is_gone() -> None:
    property_tests = {
        f"{path.relative_to(ROOT)}::{test}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for test in PROPERTY_TEST.findall(path.read_text())
    }
    files = {test.partition("::")[0] for test in property_tests}
    named = {place for places in TARGETS.values() for place in places}
    assert named <= property_tests | files
    of_the_kernel = {test for test in property_tests if test.startswith("tests/kernel/")}
    left_out = {test for test in of_the_kernel - named if test.partition("::")[0] not in named}
    assert {test.partition("::")[0] for test in left_out} <= OF_OUR_OWN_VALUES
