from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli.lazy_commands import COMMAND_GROUPS, COMMANDS, import_command
from tests.docs import command_page, messages_page
from tests.docs.settings_page import page

ROOT = Path(__file__).parents[2]
SKIPPED = {".venv", ".git", "node_modules", "build", "dist"}
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")]
    if not SKIPPED & set(path.relative_to(ROOT).parts)
)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")
TEMPLATES = sorted(ROOT.glob("libs/common/templates/*/README.md.in"))


def test_the_settings_page_is_made_from_the_settings() -> None:
    assert (ROOT / "docs/settings.md").read_text() == page(), "python -m tests.docs.settings_page > docs/settings.md"


def test_the_page_of_the_command_line_is_made_from_the_commands() -> None:
    made = command_page.page()
    assert (ROOT / "docs/command-line.md").read_text() == made, (
        "python -m tests.docs.command_page > docs/command-line.md"
    )


def test_the_page_of_internal_messages_is_made_from_the_protocol() -> None:
    made = messages_page.page()
    assert (ROOT / "docs/internal-messages.md").read_text() == made, (
        "python -m tests.docs.messages_page > docs/internal-messages.md"
    )


def test_the_page_of_internal_messages_has_every_module_of_the_protocol() -> None:
    modules = {path.stem for path in messages_page.FOLDER.glob("*.py")} - {"__init__", "message"}
    assert set(messages_page.MODULES) == modules


@pytest.mark.parametrize("name", PAGES)
def test_every_link_to_a_file_leads_to_one(name: str) -> None:
    text = (ROOT / name).read_text()
    links = [link for link in LINK.findall(text) if not re.match(r"[a-z]+:", link)]
    assert [link for link in links if not ((ROOT / name).parent / link).exists()] == []


@pytest.mark.parametrize(
    "path", [*(ROOT / name for name in PAGES), *TEMPLATES], ids=lambda path: f"{path.parent.name}-{path.name}"
)
def test_every_command_that_is_written_down_exists(path: Path) -> None:
    assert [line for line in commands(path.read_text()) if not known(line)] == []


def test_every_make_target_that_is_written_down_exists() -> None:
    written = {target for name in PAGES for target in re.findall(r"make ([a-z-]+)\b", _code((ROOT / name).read_text()))}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert written - targets == set()


def commands(text: str) -> Iterator[str]:
    """What follows `mlmesh` in code, up to a comment."""
    for found in re.findall(r"(?:^|[`&|(] ?)mlmesh ([a-z][^`\n]*)", _code(text), re.MULTILINE):
        yield found.partition("  #")[0].partition(" &&")[0].strip()


def _code(text: str) -> str:
    """Indented blocks, fenced blocks and code in lines."""
    blocks = re.findall(r"^(?: {4}|\t)(.*)$", text, re.MULTILINE)
    fenced = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    inline = [f"`{one}`" for one in re.findall(r"`([^`\n]+)`", text)]
    return "\n".join([*blocks, *fenced, *inline])


def known(line: str) -> bool:
    words = [word for word in shlex.split(line.replace("$", "")) if not word.startswith("-")]
    if words[0] not in COMMAND_GROUPS or len(words) == 1:
        return words[0] in {*COMMANDS, *COMMAND_GROUPS}
    return words[1] in {command.name for command in import_command(words[0]).registered_commands}
