"""What a build's output says to people."""

from __future__ import annotations

import pytest

from services.worker.work.build_output import find_cause, find_progress


@pytest.mark.parametrize(
    ("piece", "line"),
    [
        ("#7 [4/6] RUN pip install numpy\n#7 sha256:" + "ab" * 32 + "\n", "[4/6] RUN pip install numpy"),
        ("#8 1.940 Collecting emoji==2.12.1\n", "Collecting emoji==2.12.1"),
        ("Step 3/5 : RUN true\n ---> Running in 12\n", "Step 3/5 : RUN true"),
        ("#8 DONE 0.1s\n#9 CACHED\n#10 exporting layers\n\n", None),
        ("", None),
        ("x" * 300, "x" * 200),
        ("\xff", "\ufffd"),
    ],
)
def test_the_last_line_that_says_something_is_shown(piece: str, line: str | None) -> None:
    assert find_progress(piece.encode("latin-1")) == line


PIP = "#8 1.225 ERROR: No matching distribution found for emoji==99"
ENGINE = "executor failed running [/bin/sh -c pip install]: exit code: 1"


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        (["#8 0.1 fine", PIP, f"#8 ERROR: {ENGINE}", "------", " > [4/5] RUN pip install:", "------", ENGINE],
         "ERROR: No matching distribution found for emoji==99"),
        (["#8 0.1 fine", "------", ENGINE], ENGINE),
        (["------", " > [2/2] RUN run it || fail:", "0.190 no such thing: leaf", "------", "Dockerfile:2", "----------",
          "   2 | >>> RUN run it || fail", "----------", "ERROR: failed to build: failed to solve: process x"],
         "no such thing: leaf"),
        (['ERROR: failed to solve: process "/bin/sh -c false" did not complete successfully: exit code: 1'],
         'ERROR: failed to solve: process "/bin/sh -c false" did not complete successfully: exit code: 1'),
        (["failed to compute cache key: \"/x\" not found: not found"],
         "failed to compute cache key: \"/x\" not found: not found"),
        (["#1 all", "#2 is well"], None),
        ([], None),
    ],
)  # fmt: skip
def test_the_cause_is_what_the_program_said(lines: list[str], cause: str | None) -> None:
    assert find_cause(lines) == cause
