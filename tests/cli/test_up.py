from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
START_ORDER = ["databox", "registry", "scheduler", "worker", "gateway"]
END_TIMEOUT_S = 20
EVERYWHERE = "0.0.0.0"  # noqa: S104  this host's addresses, all of them

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `mlmesh up` with the small services, in the test's folder."""
    started: list[subprocess.Popen[str]] = []

    def up(*arguments: str, **environ: str) -> subprocess.Popen[str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("MLMESH_")}
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.cli.small_mesh",
                "up",
                "--port",
                "0",
                "--data",
                str(tmp_path / "data"),
                *arguments,
            ],
            cwd=ROOT,
            env={**inherited, "XDG_CONFIG_HOME": str(tmp_path), "SMALL_MESH_LOG": str(tmp_path / "events"), **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield up
    for process in started:
        process.kill()
        process.communicate()


def wait_until_ready(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("ready http://127.0.0.1:"), process.communicate()
    return line.removeprefix("ready ").strip()


def wait_for_end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=END_TIMEOUT_S)
    return process.returncode, out, err


def read_events(tmp_path: Path, kind: str) -> list[dict[str, Any]]:
    all_events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    return [event for event in all_events if event["event"] == kind]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + END_TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_five_services_start_and_stop_in_order(start: Start, tmp_path: Path, number: signal.Signals) -> None:
    process = start()
    address = wait_until_ready(process)
    with urllib.request.urlopen(f"{address}/readyz") as answer:  # noqa: S310
        assert answer.status == 200
    process.send_signal(number)
    code, out, err = wait_for_end(process)
    assert (code, out) == (0, "")
    assert err.startswith("the process runtime isolates nothing")
    assert [event["name"] for event in read_events(tmp_path, "started")] == START_ORDER
    assert [event["name"] for event in read_events(tmp_path, "stopped")] == START_ORDER[::-1]


def test_services_share_one_bus_and_know_one_another(start: Start, tmp_path: Path) -> None:
    process = start()
    wait_until_ready(process)
    started = {event["name"]: event for event in read_events(tmp_path, "started")}
    assert len({event["bus"] for event in started.values()}) == 1
    assert len({event["port"] for event in started.values()}) == 5
    assert {event["registry"] for event in started.values()} == {f"http://127.0.0.1:{started['registry']['port']}"}


def test_keys_are_made_once_for_their_owner_alone_and_the_client_is_configured(start: Start, tmp_path: Path) -> None:
    for _ in range(2):
        process = start()
        address = wait_until_ready(process)
        process.terminate()
        assert wait_for_end(process)[0] == 0
        keys = {
            name: (tmp_path / "data" / name).read_text() for name in ("admin-token", "internal-token", "secret-key")
        }
        assert json.loads((tmp_path / "mlmesh" / "config.json").read_text()) == {
            "url": address, "tokens": {address: keys["admin-token"].strip()},
        }  # fmt: skip
    assert len(set(keys.values())) == 3
    assert {stat.S_IMODE((tmp_path / "data" / name).stat().st_mode) for name in keys} == {0o600}


def test_the_environment_presets_the_admin_token(start: Start, tmp_path: Path) -> None:
    wait_until_ready(start(MLMESH_ADMIN_TOKEN="mine"))
    assert (tmp_path / "data" / "admin-token").read_text() == "mine\n"


def test_a_second_start_on_the_same_folder_is_refused(start: Start, tmp_path: Path) -> None:
    first = start()
    wait_until_ready(first)
    code, out, err = wait_for_end(start())
    assert (code, out) == (1, "")
    assert err == f"mlmesh: {tmp_path}/data is in use by process {first.pid}; stop it, or choose another --data\n"


def test_an_address_in_use_is_told(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        code, out, err = wait_for_end(start("--port", str(port)))
    assert (code, out) == (1, "")
    assert err.endswith(f"mlmesh: cannot listen on 127.0.0.1:{port}: Address already in use\n")


def test_a_service_that_cannot_start_ends_all(start: Start, tmp_path: Path) -> None:
    code, out, err = wait_for_end(start(SMALL_MESH_ENDS="scheduler"))
    assert (code, out) == (1, "")
    assert "mlmesh: scheduler ended while it was starting; its log says why" in err
    assert [event["name"] for event in read_events(tmp_path, "stopped")] == ["registry", "databox"]


def test_a_signal_before_it_is_ready_stops_it_too(start: Start, tmp_path: Path) -> None:
    process = start(SMALL_MESH_UNREADY="scheduler")
    wait_until(lambda: (tmp_path / "events").exists() and len(read_events(tmp_path, "started")) == 5)
    process.terminate()
    assert wait_for_end(process)[:2] == (0, "")


def test_a_second_mesh_does_not_replace_a_running_default(start: Start, tmp_path: Path) -> None:
    written, second = tmp_path / "mlmesh" / "config.json", ("--data", str(tmp_path / "second"))
    first = start()
    address = wait_until_ready(first)
    process = start(*second)
    other = wait_until_ready(process)
    process.terminate()
    note = f"commands speak to {address} as before, which answers, too; for this mesh write --url {other}, "
    assert note + f"or set MLMESH_URL={other}\n" in wait_for_end(process)[2]
    profile = json.loads(written.read_text())
    assert (profile["url"], set(profile["tokens"])) == (address, {address, other})
    first.terminate()
    wait_for_end(first)
    third = wait_until_ready(start(*second))
    profile = json.loads(written.read_text())
    assert (profile["url"], set(profile["tokens"])) == (third, {address, third})


@pytest.mark.parametrize("host", ["::1", "[::1]", "::", "0.0.0.0", "localhost"])  # noqa: S104
def test_any_address_of_this_machine_can_be_listened_on(start: Start, host: str) -> None:
    process = start("--host", host)
    assert process.stdout is not None
    address = process.stdout.readline().removeprefix("ready ").strip()
    with urllib.request.urlopen(f"{address}/readyz") as answer:  # noqa: S310
        assert answer.status == 200


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--port", "99999"), 2, "mlmesh: invalid value for '--port': "),
        (("--port", "-1"), 2, "mlmesh: invalid value for '--port': "),
        (("--host", "nowhere.invalid"), 1, "mlmesh: cannot listen on nowhere.invalid:0: "),
        (("--host", "a" * 70), 1, f"mlmesh: cannot listen on {'a' * 70}:0: "),
        (("--host", "192.0.2.1"), 1, "mlmesh: cannot listen on 192.0.2.1:0: Cannot assign requested address"),
        (("--data", "/proc/mine"), 1, "mlmesh: /proc/mine cannot be used: "),
    ],
)
def test_an_unusable_data_dir_is_one_error_message(
    start: Start, words: tuple[str, ...], code: int, sentence: str
) -> None:
    done = wait_for_end(start(*words))
    assert done[:2] == (code, "")
    assert done[2].splitlines()[-1].startswith(sentence)


@pytest.mark.parametrize(
    ("host", "environ", "has_loopback"),
    [
        ("127.0.0.1", {}, True),
        (EVERYWHERE, {}, False),
        (EVERYWHERE, {"MLMESH_REPOSITORY_NETWORKS": "127.0.0.0/8"}, True),
    ],
)
def test_repository_networks_follow_the_listen_address(
    start: Start, tmp_path: Path, host: str, environ: dict[str, str], has_loopback: bool
) -> None:
    """Its registry always listens on the loopback."""
    process = start("--host", host, **environ)
    wait_until_ready(process)
    process.send_signal(signal.SIGINT)
    wait_for_end(process)
    assert {"127.0.0.0/8" in event["reach"] for event in read_events(tmp_path, "started")} == {has_loopback}
