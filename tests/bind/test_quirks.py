"""The table of kernels against the running one: it has the quirks of its release, and no others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sockwatch.bind.kernels import Quirk
from sockwatch.bind.releases import possible_quirks
from sockwatch.kernel import host
from tests.bind.oracle import snapshot_of
from tests.bind.quirk_trials import has_quirk


@pytest.mark.parametrize("quirk", Quirk)
def test_the_kernel_has_the_quirks_of_its_release(netns: None, quirk: Quirk) -> None:
    here = replace(snapshot_of(), kernel=host.kernel_release(), patch_level=host.patch_level())
    expected = {quirk in quirks for quirks in possible_quirks(here)}  # a name may hide it
    assert has_quirk(quirk) in expected
