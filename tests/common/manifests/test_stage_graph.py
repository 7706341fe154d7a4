from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

import pytest

from libs.common.manifests.stage_graph import find_cycle, sort_stages, stage_dependencies


class Name(NamedTuple):
    name: str


@dataclass(frozen=True)
class Step:
    name: str
    inputs: tuple[Name, ...]
    outputs: tuple[Name, ...]


def step(name: str, inputs: str = "", outputs: str = "") -> Step:
    return Step(name, tuple(map(Name, inputs.split())), tuple(map(Name, outputs.split())))


DIAMOND = [step("start", "given", "a"), step("left", "a", "b"), step("right", "a", "c"), step("end", "b c", "d")]


def test_a_stage_waits_for_those_that_write_what_it_reads() -> None:
    assert stage_dependencies(DIAMOND) == {
        "start": frozenset(),
        "left": frozenset({"start"}),
        "right": frozenset({"start"}),
        "end": frozenset({"left", "right"}),
    }


@pytest.mark.parametrize(
    "stages", list(permutations(DIAMOND)), ids=lambda stages: "-".join(stage.name for stage in stages)
)
def test_the_order_of_the_list_does_not_matter_to_the_graph(stages: tuple[Step, ...]) -> None:
    found = sort_stages(stages)
    assert (found[0], set(found[1:3]), found[3]) == ("start", {"left", "right"}, "end")
    assert find_cycle(stages) is None


def test_stages_that_share_nothing_keep_the_order_of_the_list() -> None:
    assert sort_stages([step("c"), step("a"), step("b")]) == ("c", "a", "b")


CYCLES = [
    ([step("a", "x", "x")], ["a"]),
    ([step("a", "y", "x"), step("b", "x", "y")], ["a", "b"]),
    ([step("first", "", "w"), step("a", "w z", "x"), step("b", "x", "y"), step("c", "y", "z")], ["a", "c", "b"]),
]


@pytest.mark.parametrize(("stages", "expected"), CYCLES)
def test_a_cycle_names_each_stage_before_the_one_it_waits_for(stages: list[Step], expected: list[str]) -> None:
    assert find_cycle(stages) == expected
    with pytest.raises(ValueError, match="cycle"):
        sort_stages(stages)


def test_no_stages_make_an_empty_graph() -> None:
    assert (stage_dependencies([]), sort_stages([]), find_cycle([])) == ({}, (), None)
