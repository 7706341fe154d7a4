"""The whole worker on the process runtime, with fake peers."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from services.worker.files.cache_key import hash_files
from services.worker.runtime.process.process_state import read_start_time
from services.worker.work import health
from tests.worker.fake_mesh import FakeMesh
from tests.worker.process_host import list_pids, list_task_folders, run_worker
from tests.worker.specs import INPUT, OUTPUT, VALUE


async def test_a_stage_reads_its_inputs_writes_its_outputs_and_tells_its_progress(
    mesh: FakeMesh, tmp_path: Path
) -> None:
    mesh.tree = {"lib.py": "def twice(text): return text * 2\n"}
    mesh.files["b/g/a.csv"] = b"ab"
    script = """
import os, pathlib, time, lib
source = pathlib.Path(os.environ['UNIP_PIPELINE_DATA_IN'])
rate = pathlib.Path(os.environ['UNIP_PIPELINE_RATE']).read_text()
out = pathlib.Path(os.environ['UNIP_PIPELINE_OUT'], 'sub')
out.mkdir()
out.joinpath('x').write_text(lib.twice(source.read_text()) + rate + os.environ['WORD'])
pathlib.Path(os.environ['MLMESH_PROGRESS']).write_text('1/3\\n2/3\\n')
leaked = [name for name in os.environ if name.startswith('MLMESH_')]
print(source.name, oct(source.stat().st_mode & 0o777), sorted(leaked))
time.sleep(0.6)
"""
    mesh.add_stage("t1", script, inputs=[INPUT, VALUE], outputs=[OUTPUT], secrets=["s1"])
    async with run_worker(mesh, tmp_path):
        await mesh.wait_for_status(progress=[2, 3])
        report = await mesh.wait_for_report()
        await mesh.wait_until(lambda: "log-t1" in mesh.ended_logs)
    content = hash_files([("sub/x", hashlib.sha256(b"abab0.5of-s1").hexdigest())])
    outputs = {"out": {"files": 1, "bytes": 12, "sha256": content}}
    assert (report["outcome"], report["outputs"]) == ("succeeded", outputs)
    assert mesh.files["runs/r/s/1/out/sub/x"] == b"abab0.5of-s1"
    assert mesh.logs["log-t1"] == b"a.csv 0o444 ['MLMESH_PROGRESS', 'MLMESH_URL']\n"
    assert list_task_folders(tmp_path) == []


@pytest.mark.parametrize(
    ("script", "over", "reason"),
    [
        ("import sys; print('bad luck'); sys.exit(3)", {}, {"code": "error", "detail": "bad luck", "exit_code": 3}),
        (
            "import os; print('x', flush=True); os.kill(os.getpid(), 9)",
            {},
            {"code": "error", "detail": "x", "signal": 9},
        ),
        (
            "import time; time.sleep(60)",
            {"timeout": 0.5},
            {"code": "timeout", "detail": "it ran longer than its timeout of 0.5 s"},
        ),
        ("", {"outputs": [OUTPUT]}, {"code": "output", "detail": "output out: the stage wrote no file"}),
        (
            "import os; os.symlink('/etc/passwd', os.environ['UNIP_PIPELINE_OUT'] + '/l')",
            {"outputs": [OUTPUT]},
            {
                "code": "output",
                "detail": "output out: l is a symbolic link to something outside this output, not a regular file; "
                "copy the target",
            },
        ),
        (
            "import os; open(os.fsencode(os.environ['UNIP_PIPELINE_OUT']) + b'/a\\xff', 'w')",
            {"outputs": [OUTPUT]},
            {"code": "output", "detail": "output out: the name b'a\\xff' is not UTF-8"},
        ),
        (
            "import os; os.symlink('x', os.fsencode(os.environ['UNIP_PIPELINE_OUT']) + b'/\\xfe')",
            {"outputs": [OUTPUT]},
            {"code": "output", "detail": "output out: the name b'\\xfe' is not UTF-8"},
        ),
        ("", {"inputs": [INPUT]}, {"code": "input", "detail": "input data-in: there is nothing at b/g/a.csv"}),
        (
            "",
            {"entry_point": None},
            {"code": "error", "detail": "the process runtime runs no image: give the stage an entryPoint"},
        ),
    ],
    ids=["status", "signal", "timeout", "no output", "link", "foreign name", "foreign link", "no input", "no command"],
)
async def test_a_stage_that_fails_says_why(
    mesh: FakeMesh, tmp_path: Path, script: str, over: dict[str, Any], reason: dict[str, Any]
) -> None:
    mesh.add_stage("t1", script, **over)
    async with run_worker(mesh, tmp_path):
        report = await mesh.wait_for_report()
    assert (report["outcome"], report["reason"]) == ("failed", reason)


@pytest.mark.usefixtures("quick_claims")
async def test_what_a_stage_writes_beside_its_program_is_not_seen_by_the_next(mesh: FakeMesh, tmp_path: Path) -> None:
    mesh.tree = {"state.txt": "fresh"}
    script = "import pathlib; file = pathlib.Path('state.txt'); print(file.read_text()); file.write_text('used')"
    async with run_worker(mesh, tmp_path):
        for task in ("t1", "t2"):
            mesh.add_stage(task, script)
            await mesh.wait_until(lambda task=task: f"log-{task}" in mesh.ended_logs)  # type: ignore[misc]
    assert (mesh.logs["log-t1"], mesh.logs["log-t2"]) == (b"fresh\n", b"fresh\n")


async def test_a_stage_ends_when_the_scheduler_says_so(mesh: FakeMesh, tmp_path: Path) -> None:
    mesh.add_stage("t1", "import time; time.sleep(60)")
    async with run_worker(mesh, tmp_path):
        await mesh.wait_for_status(state="running")
        mesh.stops.append({"task": "t1", "token": 7})
        await mesh.notify()
        report = await mesh.wait_for_report()
    assert (report["outcome"], report["token"], list_task_folders(tmp_path)) == ("canceled", 7, [])


async def test_a_draining_worker_hands_back_what_it_has_not_begun_and_ends_the_rest(
    mesh: FakeMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.worker.claimer.CLAIM_INTERVAL_S", 0.1)
    mesh.link_gate = asyncio.Event()
    mesh.files["b/g/a.csv"] = b"ab"
    mesh.add_stage("t1", "import time; print('goes on', flush=True); time.sleep(1)")
    mesh.add_stage("t2", "print('never')", inputs=[INPUT])
    async with run_worker(mesh, tmp_path):
        await mesh.wait_until(lambda: mesh.logs.get("log-t1") and mesh.downloads)
        mesh.drain = True
        await mesh.wait_until(lambda: len(mesh.reports) == 2)
        mesh.add_stage("t3", "print('not here')")
        await asyncio.sleep(0.5)  # enough time for several claims
    assert [(report["task"], report["outcome"]) for report in mesh.reports] == [("t2", "returned"), ("t1", "succeeded")]
    assert [lease["task"] for lease in mesh.waiting_leases] == ["t3"]
    mesh.link_gate.set()


async def test_an_instance_becomes_healthy_and_answers_with_its_token(mesh: FakeMesh, tmp_path: Path) -> None:
    mesh.tree = {"app.py": "def predict(name: str):\n    return {'text': 'Hello ' + name}\n"}
    mesh.add_instance("t1")
    body = {"inputs": [{"name": "name", "datatype": "str", "data": "Ada"}]}
    async with run_worker(mesh, tmp_path):
        status = await mesh.wait_for_status(state="healthy")
        assert "/predict" in status["openapi"]["paths"]
        url = "http://{host}:{port}/predict".format(**status["endpoint"])
        async with aiohttp.ClientSession() as session:
            async with session.post(url, json=body) as answer:
                assert answer.status == 401
            async with session.post(url, json=body, headers={"X-Mlmesh-Token": "secret"}) as answer:
                assert (answer.status, json.loads(await answer.text()).get("outputs", [{}])[0].get("data")) == (
                    200,
                    "Hello Ada",
                ), await answer.text()
        running = list_pids(tmp_path)
    assert [read_start_time(pid) for pid in running] == [None]
    assert (await mesh.wait_for_report())["outcome"] == "returned"
    assert list_task_folders(tmp_path) == []


async def test_an_instance_that_cannot_be_imported_fails_with_its_last_lines(mesh: FakeMesh, tmp_path: Path) -> None:
    mesh.tree = {"app.py": "import nothing_of_this_name\n"}
    mesh.add_instance("t1")
    async with run_worker(mesh, tmp_path):
        report = await mesh.wait_for_report()
    assert (report["outcome"], report["reason"]["code"]) == ("failed", "exited")
    assert any("nothing_of_this_name" in line for line in report["log_tail"])


async def test_an_instance_that_hangs_is_ended_and_says_so(
    mesh: FakeMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("UNHEALTHY_LIMIT_S", 0.5), ("HEALTH_INTERVAL_S", 0.05), ("UNHEALTHY_AFTER", 1)):
        monkeypatch.setattr(health, name, value)
    monkeypatch.setattr("services.worker.work.instance.STOP_GRACE_S", 0.2)
    monkeypatch.setattr("services.worker.work.probe.TIMEOUT_S", 0.2)
    stops = "import os, signal, threading\nthreading.Timer(1.0, os.kill, (os.getpid(), signal.SIGSTOP)).start()\n"
    mesh.tree = {"app.py": stops + "def predict(x: int) -> int:\n    return x\n"}
    mesh.add_instance("t1", timeout=0.1)
    async with run_worker(mesh, tmp_path):
        unhealthy = await mesh.wait_for_status(state="unhealthy")
        report = await mesh.wait_for_report()
    assert unhealthy["detail"] == "no response to the health check"
    assert (report["outcome"], report["reason"]) == (
        "failed",
        {"code": "hung", "detail": "it was unhealthy for 0.5 s: no response to the health check"},
    )


async def test_an_instance_without_its_model_says_which(mesh: FakeMesh, tmp_path: Path) -> None:
    mesh.add_instance("t1", model={"box": "b", "user": "u", "group": "g", "file": "m.bin"})
    async with run_worker(mesh, tmp_path):
        report = await mesh.wait_for_report()
    assert report["reason"] == {"code": "model_missing", "detail": "b/g/m.bin"}


WORKER = """
import asyncio, sys
from pathlib import Path
from libs.common.bus.memory import MemoryBus
from services.worker.app import create
from tests.worker.fake_mesh import FakeMesh

async def main():
    app = create(FakeMesh(url=sys.argv[1]).make_settings(Path(sys.argv[2])), MemoryBus())
    async with app.router.lifespan_context(app):
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_killed_workers_tasks_go_on_under_the_next_worker(mesh: FakeMesh, tmp_path: Path) -> None:
    mesh.add_stage(
        "t1",
        "import os, time; print('one', flush=True); time.sleep(3); print('two');"
        "open(os.environ['UNIP_PIPELINE_OUT'] + '/f', 'w').write('x')",
        outputs=[OUTPUT],
    )
    first = await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, mesh.url, str(tmp_path))
    try:
        await mesh.wait_until(lambda: mesh.logs.get("log-t1"))
    finally:
        os.kill(first.pid, signal.SIGKILL)
        await first.wait()
    assert mesh.reports == []
    async with run_worker(mesh, tmp_path):
        report = await mesh.wait_for_report()
    assert (report["outcome"], report["token"]) == ("succeeded", 7)
    assert (mesh.logs["log-t1"], mesh.files["runs/r/s/1/out/f"]) == (b"one\ntwo\n", b"x")


async def test_a_killed_workers_instance_serves_on_under_the_next_worker(mesh: FakeMesh, tmp_path: Path) -> None:
    mesh.tree = {"app.py": "def predict(x: int) -> int:\n    return x + 1\n"}
    mesh.add_instance("t1")
    first = await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, mesh.url, str(tmp_path))
    try:
        first_status = await mesh.wait_for_status(state="healthy")
    finally:
        os.kill(first.pid, signal.SIGKILL)
        await first.wait()
    mesh.statuses.clear()
    async with run_worker(mesh, tmp_path):
        second_status = await mesh.wait_for_status(state="healthy")
        running = list_pids(tmp_path)
        assert (second_status["endpoint"], second_status["token"]) == (first_status["endpoint"], 7)
    assert [read_start_time(pid) for pid in running] == [None]


async def test_requirements_that_cannot_be_installed_fail_the_stage_with_the_installers_words(
    mesh: FakeMesh, tmp_path: Path
) -> None:
    mesh.tree = {"requirements.txt": "./no-such-folder\n"}
    mesh.add_stage("t1", "")
    async with run_worker(mesh, tmp_path):
        report = await mesh.wait_for_report()
    assert report["reason"]["code"] == "source"
    assert "no-such-folder" in report["reason"]["detail"]
