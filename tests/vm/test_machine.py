"""The oldest kernel and a middle one are booted, and do what the record says of them."""

from __future__ import annotations

import pytest

from sockwatch.bind.kernels import quirks_of
from tests.support.privilege import needs_root
from tests.vm import chosen, kernels, machine, record
from tests.vm.places import Unavailable

# In these suites, whose lists of packages are read for it.
BOOTED = {"5.10": ("bullseye", "bullseye-security"), "6.1": ("bookworm", "bookworm-security")}
MINUTES = 8.0


@needs_root
@pytest.mark.skipif(
    not record.load(), reason="no run is recorded: python -m tests.vm --record KERNEL"
)
@pytest.mark.xdist_group("vm")  # one at a time
@pytest.mark.exhaustive
@pytest.mark.timeout(0)  # the machine has its own
@pytest.mark.parametrize("series", BOOTED)
def test_a_kernel_is_seen_as_recorded(series: str) -> None:
    try:
        kernel = kernels.choose(series, kernels.find(BOOTED[series]))
        arguments = [*chosen.OPTIONS, "-n0", *chosen.SHORT]
        booted = machine.run(kernel, arguments, minutes=MINUTES, cpus=1)
    except Unavailable as reason:
        pytest.skip(str(reason))
    run = record.run_of(booted)
    assert run.failed == {}
    assert run.outcomes["passed"] > 30
    assert run.quirks == {quirk.name for quirk in quirks_of(run.number)}
    (known,) = (each for each in record.load() if each.number[:2] == run.number[:2])
    assert run.sights == known.sights
