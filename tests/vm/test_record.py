"""README and the table of kernels say what the recorded runs have shown."""

from __future__ import annotations

import pytest

from sockwatch.bind.kernels import SPANS, Quirk, quirks_of
from tests.vm.record import Run, load
from tests.vm.sights import SIGHTS
from tests.vm.table import README, in_readme

RUNS = load()
pytestmark = pytest.mark.skipif(
    not RUNS, reason="no run is recorded: python -m tests.vm --record KERNEL"
)
MANY_TESTS = 300
WHOLE_ON = {(5, 10), (6, 1), (6, 12), (6, 16), (6, 19), (7, 3)}


def test_readme_has_the_table_of_the_record() -> None:
    text = README.read_text()
    assert text == in_readme(text), "run python -m tests.vm --table"


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.release)
def test_each_kernel_had_the_quirks_of_its_release(run: Run) -> None:
    assert run.quirks == {quirk.name for quirk in quirks_of(run.number)}


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.release)
def test_no_test_failed_there(run: Run) -> None:
    assert run.failed == {}
    assert run.sights.keys() == {sight.id for sight in SIGHTS}


def test_the_whole_set_ran_on_each_series_that_distributions_keep() -> None:
    whole = {run.number[:2] for run in RUNS if run.outcomes.get("passed", 0) > MANY_TESTS}
    assert whole >= WHOLE_ON


@pytest.mark.parametrize("quirk", Quirk)
def test_each_span_names_the_run_that_showed_it(quirk: Quirk) -> None:
    for span in SPANS:
        if span.quirk is quirk:
            within = [run.number for run in RUNS if span.since <= run.number < span.before]
            assert span.run == (within[-1] if within else None), span
