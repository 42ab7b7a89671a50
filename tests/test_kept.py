"""Things that are made again only of other parts."""

from __future__ import annotations

from sockwatch.kept import Kept


def pair(first: str, second: int) -> list[object]:
    return [first, second]


def test_equal_parts_give_the_same_object() -> None:
    kept = Kept(pair)
    made = kept.of("key", "a" * 1000, 1)
    assert made == ["a" * 1000, 1]
    for _ in range(3):
        kept.renew()
        assert kept.of("key", "".join(["a"] * 1000), 1) is made


def test_other_parts_give_another_for_that_key_alone() -> None:
    kept = Kept(pair)
    first, second = kept.of(1, "a", 1), kept.of(2, "a", 1)
    kept.renew()
    assert kept.of(1, "a", 2) == ["a", 2]
    assert kept.of(2, "a", 1) is second
    kept.renew()
    assert kept.of(1, "a", 1) == first
    assert kept.of(1, "a", 1) is not first


def test_what_a_look_did_not_ask_for_is_dropped() -> None:
    kept = Kept(pair)
    made = kept.of(0, "a", 0)
    for key in range(1, 100):
        kept.renew()
        kept.of(key, "a", 0)
        assert len(kept) == 1
    assert kept.of(0, "a", 0) is not made
