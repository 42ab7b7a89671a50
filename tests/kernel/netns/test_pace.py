"""How often a namespace is visited."""

from __future__ import annotations

from sockwatch.kernel.netns.pace import BOUND_EACH, LONGEST_S, Pace


def visits(changed: set[int], looks: int) -> list[int]:
    """The seconds at which a namespace is visited, that has changed at some of the visits."""
    pace, visited = Pace(), []
    for second in range(looks):
        if pace.overdue_s(second) >= 0:
            visited.append(second)
            pace.visited(second, changed=second in changed)
    return visited


def test_a_quiet_one_is_visited_less_and_less_often() -> None:
    assert visits(set(), 25) == [0, 1, 3, 7, 12, 17, 22]


def test_a_busy_one_is_visited_in_each_look() -> None:
    assert visits(set(range(9)), 9) == list(range(9))


def test_what_changes_is_visited_often_again() -> None:
    assert visits({7, 8}, 20) == [0, 1, 3, 7, 8, 9, 10, 12, 16]


def test_a_new_one_is_older_than_any_other() -> None:
    pace = Pace()
    assert pace.age_s(0.0) == LONGEST_S
    pace.visited(3.0, changed=True)
    assert pace.age_s(3.5) == 0.5


def test_what_no_count_includes_is_asked_for_at_first_and_now_and_then() -> None:
    pace = Pace()
    asked = []
    for visit in range(2 * BOUND_EACH + 1):
        if pace.asks_for_bound:
            asked.append(visit)
        pace.visited(float(visit), changed=False)
    assert asked == [0, BOUND_EACH, 2 * BOUND_EACH]
