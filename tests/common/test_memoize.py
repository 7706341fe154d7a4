from __future__ import annotations

from libs.common import memoize as module
from libs.common.memoize import memoize_by_identity


def test_each_object_is_asked_for_once() -> None:
    asked: list[list[int]] = []

    @memoize_by_identity
    def total(value: list[int]) -> int:
        asked.append(value)
        return sum(value)

    first, like_it = [1, 2], [1, 2]
    assert (total(first), total(first), total(like_it)) == (3, 3, 3)
    assert len(asked) == 2
    assert asked[1] is like_it


def test_only_the_latest_are_kept() -> None:
    asked = []

    @memoize_by_identity
    def double(value: tuple[int]) -> int:
        asked.append(value)
        return 2 * value[0]

    many = [(number,) for number in range(module.MAX_ENTRIES + 1)]
    assert [double(one) for one in many] == [2 * number for number in range(module.MAX_ENTRIES + 1)]
    assert double(many[-1]) == 2 * module.MAX_ENTRIES
    assert len(asked) == module.MAX_ENTRIES + 1
    double(many[0])
    assert len(asked) == module.MAX_ENTRIES + 2
