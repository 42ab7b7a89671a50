"""The number of a namespace, as links of /proc tell it."""

from __future__ import annotations

import os

import pytest

from sockwatch.kernel.netns.nsfs import number_in
from tests.support.netns import netns_inode


def test_it_is_that_of_the_file() -> None:
    assert number_in(os.readlink("/proc/thread-self/ns/net")) == netns_inode()


@pytest.mark.parametrize("link", ["", "net:[]", "net:[x]", "mnt:[7]", "net:[\u0663]"])
def test_a_link_of_an_exiting_process_is_an_error_like_others(link: str) -> None:
    """Before 5.11 such a link can be read, and is empty."""
    with pytest.raises(OSError, match="No such process"):
        number_in(link)
