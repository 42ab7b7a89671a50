"""When the fds and mounts of all processes are searched again for ways to a namespace."""

from __future__ import annotations

from sockwatch.kernel.bpf.netns_iterators import Keeper
from sockwatch.kernel.netns.unentered import SearchedWays

NUMBER = 4_026_532_999
WANTED = {NUMBER: None}  # a namespace without an id, as before Linux 6.18


def no_keepers() -> list[Keeper]:
    return []


def test_a_search_in_vain_is_not_done_again() -> None:
    ways = SearchedWays()
    assert ways.search(WANTED, no_keepers)
    ways.keep_in_vain(WANTED, WANTED)
    assert not ways.search(WANTED, no_keepers)
    assert ways.search({**WANTED, NUMBER + 1: None}, no_keepers)


def test_a_number_whose_namespace_has_ended_is_that_of_another_one() -> None:
    ways = SearchedWays()
    assert ways.search(WANTED, no_keepers)
    ways.keep_in_vain(WANTED, WANTED)
    ways.forget_others([])
    assert ways.search(WANTED, no_keepers)


def test_where_a_way_was_found_that_works_no_more_another_is_searched() -> None:
    """The keeper has let it go, or the number was given again between two looks."""
    ways = SearchedWays()
    assert ways.search(WANTED, lambda: [Keeper(NUMBER, 1, 2, is_socket=False)])
    assert len(ways.to(NUMBER)) == 1
    ways.keep_in_vain([], WANTED)
    assert ways.search(WANTED, no_keepers)
    assert ways.to(NUMBER) == ()
