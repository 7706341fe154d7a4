"""`make demo` from the outside: the whole story on the embedded parts, nothing left behind."""

from __future__ import annotations

import re
import subprocess
import sys

DEMO_TIMEOUT_S = 900.0


def test_the_demo_tells_its_story_and_ends_well() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.demo.run"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEMO_TIMEOUT_S,
    )
    last = done.stdout.strip().splitlines()[-1]
    assert (
        done.returncode,
        bool(re.fullmatch(r"demo: ok \(push to live \S+ s, run \S+ s, predict \S+ ms\)", last)),
    ) == (
        0,
        True,
    ), done.stdout[-3000:] + done.stderr[-3000:]
