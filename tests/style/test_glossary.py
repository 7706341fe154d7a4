"""Each word of the glossary is a module, a class or a table of the source."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def glossary_words() -> list[str]:
    page = (ROOT / "docs/glossary.md").read_text()
    return re.findall(r"^\| ([A-Z][A-Za-z ]*) \|", page, re.MULTILINE)


def source_words() -> set[str]:
    """Names of modules, packages, classes and tables, without underscores, in lower case and in the singular."""
    words: set[str] = set()
    for package in ("services", "libs"):
        for path in (ROOT / package).rglob("*.py"):
            words |= {path.stem, path.parent.name}
            words |= {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)}
    tables = (ROOT / "services/scheduler/db/tables.py").read_text()
    words |= set(re.findall(r'"scheduler_(\w+)"', tables))
    return {word.replace("_", "").lower().removesuffix("s") for word in words}


def test_the_glossary_has_the_words_of_the_domain() -> None:
    assert len(glossary_words()) >= 40


def test_each_word_of_the_glossary_is_in_the_source() -> None:
    known = source_words()
    missing = [word for word in glossary_words() if not any(word.replace(" ", "").lower() in name for name in known)]
    assert not missing, f"no module, class or table is named after: {', '.join(missing)}"
