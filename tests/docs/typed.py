"""A page's code as somebody types it: files are written, lines go to one shell on a terminal, questions are answered.

The machine that it is typed on has nothing else: a network of its own, so that the documented ports are free, and an
empty home.
"""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NAMED = re.compile(r"`([\w./-]+\.\w+)`")
ELSEWHERE = "# in another terminal"
QUESTION = re.compile(rb"(alice \(typed unseen\): |password for user 'alice':)\s*$")
PASSWORD = b"late-again-7\n"
READY = "^ready |is ready on"
TIMEOUT_S = 240.0
ALONE = ("unshare", "--net") if os.geteuid() == 0 else ("unshare", "--map-root-user", "--net")


@dataclass(frozen=True)
class File:
    path: str
    text: str


@dataclass(frozen=True)
class Line:
    text: str

    @property
    def elsewhere(self) -> bool:
        return ELSEWHERE in self.text


def steps(page: str, begin: str, end: str | None) -> list[File | Line]:
    """What is to be done from the heading `begin` to the heading `end`."""
    text = page[page.index(begin) : page.index(end) if end else None]
    return list(_steps(text.splitlines()))


def _steps(lines: list[str]) -> Iterator[File | Line]:
    paragraph, at = "", 0
    while at < len(lines):
        line = lines[at]
        if line.startswith("```"):
            last = lines.index("```", at + 1)
            if name := NAMED.match(paragraph):
                yield File(name[1], "\n".join(lines[at + 1 : last]) + "\n")
            at = last
        elif line.startswith("    ") and not paragraph.startswith(("|", "-")):
            block = _block(lines, at)
            yield from map(Line, _logical([one[4:] for one in block]))
            at += len(block) - 1
        if line.strip() and not line.startswith((" ", "```")):
            paragraph = line if not lines[at - 1].strip() else paragraph
        at += 1


def _block(lines: list[str], at: int) -> list[str]:
    end = at
    while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
        end += 1
    return lines[at:end]


def _logical(lines: list[str]) -> Iterator[str]:
    """Lines as the shell takes them: with what continues them."""
    rest = iter(lines)
    for line in rest:
        if not line.strip():
            continue
        whole = line
        while whole.endswith("\\"):
            whole += "\n" + next(rest)
        if end := re.search(r"<<(\w+)$", line):
            while not whole.endswith(f"\n{end[1]}"):
                whole += "\n" + next(rest)
        yield whole


def typed(found: list[File | Line], home: Path) -> tuple[list[tuple[str, int, str]], str]:
    """Each line with its exit code and what it printed; and what the mesh printed in its terminal."""
    script = home / "typed.sh"
    script.write_text(_script(found, home))
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("MLMESH_", "XDG_"))}
    environ |= {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{environ['PATH']}", "NO_COLOR": "1",
                "TERM": "dumb", "LANG": "C.UTF-8", "GIT_CONFIG_GLOBAL": str(home / "gitconfig")}  # fmt: skip
    (home / "gitconfig").write_text("[user]\nname = Ada\nemail = ada@lab.example\n")
    output = _on_a_terminal([*ALONE, "bash", str(script)], environ, home)
    parts = re.split(r"::(\d+) (\d+)\r?\n", output)
    lines = [one for one in found if isinstance(one, Line) and not one.elsewhere]
    results = [
        (lines[int(number)].text, int(code), said) for said, number, code in zip(*[iter(parts)] * 3, strict=False)
    ]
    log = "".join(one.read_text() for one in sorted(home.glob("elsewhere-*")))
    return results, log + ("" if len(results) == len(lines) else f"\nonly this far: {output}")


def _script(found: list[File | Line], home: Path) -> str:
    """Files are written where the shell is; what belongs into another terminal goes on in the background."""
    out, number = ["trap 'kill $(jobs -p); wait' EXIT", "ip link set lo up"], 0
    for step in found:
        if isinstance(step, File):
            out += [f'mkdir -p "$(dirname {step.path})"', f"cat > {step.path} <<'THE_END'", f"{step.text}THE_END"]
        elif step.elsewhere:
            log = home / f"elsewhere-{len(out)}"
            out += [
                f"{step.text.partition('#')[0]} >{log} 2>&1 &",
                f"for i in {{1..600}}; do grep -qE '{READY}' {log} && break; sleep 0.1; done",
            ]
        else:
            out += [step.text, f'echo "::{number} $?"']
            number += 1
    return "\n".join(out) + "\n"


def _on_a_terminal(command: list[str], environ: dict[str, str], folder: Path) -> str:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *command], env=environ, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    said, answered, deadline = b"", 0, time.monotonic() + TIMEOUT_S
    try:
        while time.monotonic() < deadline:
            ready, _, _ = select.select([ours], [], [], 0.5)
            if ready:
                try:
                    said += os.read(ours, 65536)
                except OSError:  # the other end is closed
                    break
                if QUESTION.search(said) and len(said) > answered:
                    answered = len(said) + 2
                    os.write(ours, PASSWORD)
            elif process.poll() is not None:
                break
        return said.decode(errors="replace")
    finally:
        process.terminate()
        process.wait()
        os.close(ours)
