"""Names are the field's words: see docs/glossary.md and CONTRIBUTING.md.

`exceptions.txt` lists banned names that are still in use, as `file name`. It may only shrink.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXCEPTIONS = Path(__file__).parent / "exceptions.txt"
PACKAGES = ("services", "libs")
VAGUE_WORDS = """
found one ones given asked told said kept mine ours theirs own made known wanted shown here there
rest again good whole left some others more most least few at_once enough quiet together aside news
about of begun taken rung
"""
VAGUE = frozenset(VAGUE_WORDS.split())
"""Names that say nothing of what they hold: use the noun, or verb and noun."""
METAPHORS_WORDS = """
bell bells doorbell doorbells ring rung lookout look looks stranger strangers giver givers shelf
patience patient mark marks succession rehearsal
"""
METAPHORS = frozenset(METAPHORS_WORDS.split())
"""Words of our own where the field has a term."""
IRREGULAR_WORDS = """
begun shown told rung said kept made found sent taken given written held known met swept lost gone
left heard seen
"""
IRREGULAR = frozenset(IRREGULAR_WORDS.split())
LIMITS = {"one word": 0.2, "participle": 0.01, "vague variable": 0.001, "defined more than once": 0.3}
"""Shares of all functions, and of all variables."""


@cache
def trees() -> dict[str, ast.Module]:
    paths = (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in paths}


def function_names() -> Iterator[tuple[str, str]]:
    for file, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("__"):
                yield file, node.name


def variable_names() -> Iterator[tuple[str, str]]:
    for file, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield file, node.id
            elif isinstance(node, ast.arg) and node.arg not in ("self", "cls"):
                yield file, node.arg


def class_names() -> Iterator[tuple[str, str]]:
    for file, tree in trees().items():
        yield from ((file, node.name) for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def module_names() -> Iterator[tuple[str, str]]:
    yield from ((file, Path(file).stem) for file in trees())


def is_banned(name: str) -> bool:
    word = name.strip("_").lower()
    return word in VAGUE or word in METAPHORS


@cache
def banned_names() -> set[str]:
    everything = (*function_names(), *variable_names(), *class_names(), *module_names())
    return {f"{file} {name}" for file, name in everything if is_banned(name)}


def test_no_banned_name_is_new() -> None:
    new = banned_names() - set(EXCEPTIONS.read_text().split("\n"))
    assert not new, "name these by the noun that they hold, or by verb and noun: " + ", ".join(sorted(new))


def test_every_exception_is_still_needed() -> None:
    assert {line for line in EXCEPTIONS.read_text().split("\n") if line} <= banned_names(), "remove lines: they shrink"


@cache
def shares() -> dict[str, float]:
    functions = [name for _, name in function_names()]
    variables = [name for _, name in variable_names()]
    single = [name.lstrip("_") for name in functions if "_" not in name.lstrip("_")]
    counts = Counter(functions)
    return {
        "one word": len(single) / len(functions),
        "participle": sum(name.endswith("ed") or name in IRREGULAR for name in single) / len(functions),
        "vague variable": sum(name in VAGUE for name in variables) / len(variables),
        "defined more than once": sum(counts[name] > 1 for name in functions) / len(functions),
    }


@pytest.mark.parametrize("measure", LIMITS)
def test_names_stay_plain(measure: str) -> None:
    assert shares()[measure] <= LIMITS[measure]
