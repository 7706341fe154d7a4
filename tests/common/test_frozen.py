"""Changed copies of frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from libs.common.frozen import copy_with


@dataclass(frozen=True)
class Leaf:
    name: str
    size: int = 1
    labels: dict[str, str] = field(default_factory=dict)


def test_a_changed_copy_is_what_replace_makes_and_leaves_the_original() -> None:
    leaf = Leaf("oak", labels={"a": "b"})
    assert copy_with(leaf, size=2) == replace(leaf, size=2) == Leaf("oak", 2, {"a": "b"})
    assert (leaf.size, copy_with(leaf)) == (1, leaf)
