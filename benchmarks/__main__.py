"""`python -m benchmarks [idle push stage]`: all figures in one table; exit code 1 when one is over its limit."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from benchmarks import idle, push, stage
from benchmarks.figures import Figure

ALL: dict[str, Callable[[], Iterator[Figure]]] = {"idle": idle.figures, "push": push.figures, "stage": stage.figures}


def main(names: list[str]) -> int:
    if unknown := set(names) - ALL.keys():
        sys.exit(f"usage: python -m benchmarks [{' '.join(ALL)}]; there is no {', '.join(sorted(unknown))}")
    found: list[Figure] = []
    for name in names or ALL:
        for figure in ALL[name]():
            found.append(figure)
            print(figure.line(), flush=True)
    return int(any(figure.ratio > 1 for figure in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
