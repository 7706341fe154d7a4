"""`python -m benchmarks [NAME ...]`: all figures in one table at the end; exit code 1 when one is over its limit,
else 2 when one could not be measured."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator

from benchmarks import (
    batching,
    bodies,
    change,
    cold,
    deliveries,
    gateway,
    git_push,
    http,
    idle,
    latency,
    listing,
    open_pushes,
    overload,
    peers,
    polling,
    push,
    rollback,
    rollout,
    runs,
    stage,
    submit,
    thousand,
    waiters,
)
from benchmarks.figures import Finding, Unmeasured, exit_code
from deploy.demo.show import Failed

ALL: dict[str, Callable[[], Iterator[Finding]]] = {
    "idle": idle.figures,
    "push": push.figures,
    "git_push": git_push.figures,
    "deliveries": deliveries.figures,
    "open_pushes": open_pushes.figures,
    "polling": polling.figures,
    "cold": cold.figures,
    "gateway": gateway.figures,
    "change": change.figures,
    "latency": latency.figures,
    "bodies": bodies.figures,
    "overload": overload.figures,
    "peers": peers.figures,
    "rollback": rollback.figures,
    "rollout": rollout.figures,
    "stage": stage.figures,
    "runs": runs.figures,
    "submit": submit.figures,
    "thousand": thousand.figures,
    "listing": listing.figures,
    "waiters": waiters.figures,
    "batching": batching.figures,
    "http": http.figures,
}


def main(names: list[str]) -> int:
    if unknown := set(names) - ALL.keys():
        sys.exit(f"usage: python -m benchmarks [{' '.join(ALL)}]; there is no {', '.join(sorted(unknown))}")
    found: list[Finding] = []
    for name in names or ALL:
        for one in findings(name):
            found.append(one)
            print(one.line(), file=sys.stderr, flush=True)
    print(f"\nPython {platform.python_version()}, {os.cpu_count()} processors")
    print("\n".join(one.line() for one in found))
    return exit_code(found)


def findings(name: str) -> Iterator[Finding]:
    """A benchmark that fails takes no other one's figures away."""
    try:
        yield from ALL[name]()
    except (Failed, AssertionError) as failure:
        yield Unmeasured(name, str(failure))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
