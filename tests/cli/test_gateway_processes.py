"""Several processes of the gateway on one port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.demo.mesh import MLMESH

DEADLINE_S = 30.0


class Gateway:
    """`mlmesh gateway` in two processes; no other service is there."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        environ = {name: value for name, value in os.environ.items() if not name.startswith("MLMESH_")}
        environ |= {
            "MLMESH_INTERNAL_TOKEN": "x", "MLMESH_PORT": "0", "MLMESH_GATEWAY_PROCESSES": "2",
            "MLMESH_DATA": str(folder), "MLMESH_SCHEDULER_URL": "http://127.0.0.1:9",
        }  # fmt: skip
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([MLMESH, "gateway"], env=environ, stderr=log, stdin=subprocess.DEVNULL)
        self.url = wait_until(lambda: re.search(r"http://[\d.:]+", self.log.read_text()))[0]
        wait_until(self.is_healthy)

    def is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5.0) as answer:  # noqa: S310  our own
                return bool(answer.status == 200)
        except OSError:
            return False

    def list_children(self) -> set[int]:
        """Process ids of the children."""
        return {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and self._is_child(entry)}

    def _is_child(self, entry: Path) -> bool:
        try:
            return f"PPid:\t{self.process.pid}\n" in (entry / "status").read_text()
        except OSError:
            return False


def wait_until(get_result: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + DEADLINE_S
    while not (result := get_result()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return result


def is_alive(process: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path)
    try:
        yield gateway
    finally:
        gateway.process.kill()
        gateway.process.wait()


def test_a_process_that_dies_is_replaced_and_the_port_goes_on_answering(gateway: Gateway) -> None:
    old_pids = wait_until(lambda: pids if len(pids := gateway.list_children()) == 2 else None)
    os.kill(min(old_pids), signal.SIGKILL)
    new_pids = wait_until(lambda: pids if len(pids := gateway.list_children() - {min(old_pids)}) == 2 else None)
    assert max(old_pids) in new_pids
    assert all(gateway.is_healthy() for _ in range(10))
    gateway.process.terminate()
    assert gateway.process.wait(DEADLINE_S) == 0
    assert not any(is_alive(child) for child in new_pids)


def test_processes_end_with_their_supervisor(gateway: Gateway) -> None:
    children = wait_until(lambda: pids if len(pids := gateway.list_children()) == 2 else None)
    gateway.process.kill()
    wait_until(lambda: not any(is_alive(child) for child in children))


def test_each_process_reports_the_metrics_of_all(gateway: Gateway) -> None:
    """Metrics of the other processes appear with a short delay."""

    def count_requests() -> float:
        request = urllib.request.Request(f"{gateway.url}/metrics", headers={"Authorization": "Bearer x"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=5.0) as answer:  # noqa: S310  our own
            text = answer.read().decode()
        match = re.search(r'mlmesh_gateway_requests_total\{method="GET",status="200"\} ([\d.]+)', text)
        return float(match[1]) if match else 0.0

    wait_until(lambda: len(gateway.list_children()) == 2)
    first = count_requests()
    assert all(gateway.is_healthy() for _ in range(20))
    wait_until(lambda: count_requests() >= first + 20)
