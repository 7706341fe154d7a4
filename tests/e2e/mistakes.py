"""Manifests that are wrong, each in one way: what is written where, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.e2e.application import BOXES, COMPONENT, PIPELINE

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
CYCLE = PIPELINE.replace("inputs: [{name: options}]\n      outputs: [{name: first}]",
                         "inputs: [{name: options}, {name: second}]\n      outputs: [{name: first}]")  # fmt: skip


@dataclass(frozen=True)
class Mistake:
    """`message` is a part of what is said, with the advice in it."""

    file: str
    text: str
    line: int
    column: int
    message: str


MISTAKES = {
    "typo": Mistake(
        "manifests/shout.yml", COMPONENT.replace("inference", "inferense"),
        6, 15, 'unknown field "inferense"; did you mean "inference"?'),
    "type": Mistake(
        "manifests/shout.yml", COMPONENT.replace("service:shout}", "service:shout, concurrency: many}"),
        6, 54, '"concurrency" must be a whole number, not "many"'),
    "duplicate": Mistake(
        "manifests/twice.yml", BOXES.partition("---")[0],
        3, 18, 'a second DataBox "results"; the first is at manifests/boxes.yml:1, rename one of them'),
    "reference": Mistake(
        "manifests/shout.yml", COMPONENT.replace("mlComponent: {name: shout}", "mlComponent: {name: shoot}"),
        12, 23, 'there is no MLComponent "shoot"; did you mean "shout"?'),
    "cycle": Mistake(
        "manifests/copy.yml", CYCLE,
        7, 13, "stages depend on each other in a cycle: one → two → one; remove an input of one of them"),
    "yaml": Mistake(
        "manifests/shout.yml", COMPONENT + "  - {\n",
        14, 3, "invalid YAML: expected <block end>, but found '-'"),
    "size": Mistake(
        "manifests/shout.yml", COMPONENT + "# " + "x" * 10_000_000,
        1, 1, "keep data"),
    "bomb": Mistake(
        "manifests/shout.yml", BOMB,
        5, 16, "more than 30000 values with aliases expanded; split the file"),
}  # fmt: skip
