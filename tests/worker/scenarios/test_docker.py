"""The whole worker on a Docker Engine, with fake peers."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from libs.common.bus.memory import MemoryBus
from libs.common.errors import Unavailable
from libs.common.http.server import bind
from services.worker import app
from services.worker.files.cache_key import hash_files
from services.worker.runtime import Runtime
from services.worker.runtime.docker import gateway_check
from tests.contracts.place import until
from tests.servers.engine import Engine
from tests.worker.docker_host import DockerHost
from tests.worker.fake_mesh import DEADLINE_S, FakeMesh
from tests.worker.image_registry import LOGIN, image_registry
from tests.worker.specs import FOLDER_INPUT, OUTPUT, VALUE


async def test_a_stage_in_a_container_reads_its_inputs_and_writes_its_outputs(mesh: FakeMesh, host: DockerHost) -> None:
    mesh.files |= {"b/g/a.csv": b"ab", "b/g/sub/c.csv": b"cd"}
    script = """
import os, pathlib
source = pathlib.Path(os.environ['UNIP_PIPELINE_DATA_IN'])
rate = pathlib.Path(os.environ['UNIP_PIPELINE_RATE']).read_text()
found = sorted(str(path.relative_to(source)) for path in source.rglob('*.csv'))
out = pathlib.Path(os.environ['UNIP_PIPELINE_OUT'], 'sub')
out.mkdir()
out.joinpath('x').write_text((source / 'a.csv').read_text() + rate + os.environ['WORD'])
pathlib.Path(os.environ['MLMESH_PROGRESS']).write_text('2/3\\n')
try:
    (source / 'new').write_text('')
except OSError as error:
    print(found, error.strerror)
import time; time.sleep(0.6)
"""
    host.add_stage(script, inputs=[FOLDER_INPUT, VALUE], outputs=[OUTPUT], secrets=["s1"])
    async with host.run_worker():
        await mesh.wait_for_status(progress=[2, 3])
        report = await mesh.wait_for_report()
        await mesh.wait_until(lambda: "log-t1" in mesh.ended_logs)
    content = hash_files([("sub/x", hashlib.sha256(b"ab0.5of-s1").hexdigest())])
    outputs = {"out": {"files": 1, "bytes": 10, "sha256": content}}
    assert (report["outcome"], report["outputs"]) == ("succeeded", outputs)
    assert mesh.files["runs/r/s/1/out/sub/x"] == b"ab0.5of-s1"
    assert mesh.logs["log-t1"] == b"['a.csv', 'sub/c.csv'] Read-only file system\n"
    assert list((host.folder / "scratch" / "tasks" / "w1").iterdir()) == []


async def test_a_stage_has_no_privileges_and_its_limits(mesh: FakeMesh, host: DockerHost) -> None:
    script = """
import os
status = dict(line.split(':\\t') for line in open('/proc/self/status').read().splitlines() if ':\\t' in line)
print(int(status['CapEff'], 16), status['NoNewPrivs'], os.path.exists('/var/run/docker.sock'))
"""
    host.add_stage(script)
    async with host.run_worker():
        assert (await mesh.wait_for_report())["outcome"] == "succeeded"
        await mesh.wait_until(lambda: "log-t1" in mesh.ended_logs)
    assert mesh.logs["log-t1"] == b"0 1 False\n"


@pytest.mark.parametrize(
    ("over", "reason"),
    [
        (
            {"entry_point": ["python3", "-c", "print('big'); x = bytearray(300_000_000)"],
             "resources": {"memory": 64_000_000}},
            {"code": "oom", "detail": "killed: exceeded its memory limit of 61 MiB; "
             "request more in its manifest: resources: {memory: 2Gi}"},
        ),
        (
            {"image": "mlmesh-test/never-made:1"},
            {"code": "image"},
        ),
        ({"entry_point": ["no-such-program"]},
         {"code": "error", "detail": "program not found in the image: no-such-program"}),
        ({"entry_point": ["python3", "-c", "raise SystemExit(3)"]},
         {"code": "error", "detail": "ended with status 3", "exit_code": 3}),
    ],
    ids=["oom", "image", "command", "status"],
)  # fmt: skip
async def test_a_container_that_fails_says_why(
    mesh: FakeMesh, host: DockerHost, over: dict[str, Any], reason: dict[str, Any]
) -> None:
    host.add_stage("", **over)
    async with host.run_worker():
        report = await mesh.wait_for_report()
    assert report["outcome"] == "failed"
    assert reason.items() <= report["reason"].items()
    assert host.inspect_containers() == []


async def test_who_says_nothing_of_memory_has_a_share_of_it(mesh: FakeMesh, host: DockerHost) -> None:
    mesh.add_instance("t1", image=host.image, inference="textwrap:dedent")
    async with host.run_worker(worker_slots=4):
        await mesh.wait_for_status(state="healthy")
    (container,) = host.inspect_containers()
    total_memory = int(host.engine.run("info", "--format", "{{.MemTotal}}"))
    assert container["HostConfig"]["Memory"] == container["HostConfig"]["MemorySwap"] == total_memory // 4
    mesh.add_stage("t2", "", image=host.image, entry_point=["python3", "-c", "x = bytearray(300_000_000)"])
    async with host.run_worker(task_memory="100M"):
        report = await mesh.wait_for_report()
        assert (report["reason"]["code"], "memory limit of 95 MiB" in report["reason"]["detail"]) == ("oom", True)


async def test_files_of_the_images_user_are_delivered_and_removed(
    mesh: FakeMesh, host: DockerHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image's user is root; the worker pretends not to be."""
    script = """
import os
out = os.environ['UNIP_PIPELINE_OUT']
os.umask(0o077)
os.mkdir(out + '/private')
open(out + '/private/f', 'w').write('x')
"""
    host.add_stage(script, outputs=[OUTPUT])
    monkeypatch.setattr("os.geteuid", lambda: 10001)
    monkeypatch.setattr("os.getegid", lambda: 10001)
    async with host.run_worker():
        report = await mesh.wait_for_report()
    assert (report["outcome"], mesh.files.get("runs/r/s/1/out/private/f")) == ("succeeded", b"x")
    assert list((host.folder / "scratch" / "tasks" / "w1").iterdir()) == []


async def test_a_standard_function_is_served_by_any_image(mesh: FakeMesh, host: DockerHost) -> None:
    mesh.add_instance("t1", image=host.image, inference="textwrap:dedent", read_only_root=True)
    async with host.run_worker():
        first_status = await mesh.wait_for_status(state="healthy")
        url = "http://{host}:{port}".format(**first_status["endpoint"])
        async with aiohttp.ClientSession(url) as session:
            async with session.get("/readyz") as answer:
                assert answer.status == 200
    mesh.statuses.clear()
    assert [container["State"]["Running"] for container in host.inspect_containers()] == [True]
    async with host.run_worker():
        second_status = await mesh.wait_for_status(state="healthy")
        assert second_status["endpoint"] == first_status["endpoint"]
        mesh.stops.append({"task": "t1", "token": 7})
        await mesh.notify()
        report = await mesh.wait_for_report()
    assert (report["outcome"], host.inspect_containers()) == ("stopped", [])


async def test_an_image_without_python_is_told_in_a_sentence(mesh: FakeMesh, host: DockerHost) -> None:
    mesh.add_instance("t1", image=host.image, inference="textwrap:dedent", python="python3.99")
    async with host.run_worker():
        report = await mesh.wait_for_report()
    assert report["reason"] == {
        "code": "exited",
        "detail": 'the image has no "python3.99"; a component needs Python 3.9 or later in its image, '
        "or mlService.python to say where it is",
        "exit_code": 127,
    }


async def test_apps_do_not_reach_one_another(mesh: FakeMesh, host: DockerHost) -> None:
    mesh.add_instance("t1", image=host.image, inference="textwrap:dedent")
    async with host.run_worker():
        endpoint = (await mesh.wait_for_status(state="healthy"))["endpoint"]
        script = f"""
import socket
try:
    socket.create_connection(({endpoint["host"]!r}, {endpoint["port"]}), 1).close()
    print('reached')
except OSError as error:
    print('not reached')
"""
        for task, app in (("t2", "a"), ("t3", "other")):
            mesh.add_stage(task, "", image=host.image, entry_point=["python3", "-c", script])
            mesh.waiting_leases[-1]["app"] = app
        await mesh.wait_until(lambda: {"log-t2", "log-t3"} <= mesh.ended_logs)
        mesh.stops.append({"task": "t1", "token": 7})
        await mesh.notify()
        await mesh.wait_until(lambda: any(report["outcome"] == "stopped" for report in mesh.reports))
    assert (mesh.logs["log-t2"], mesh.logs["log-t3"]) == (b"reached\n", b"not reached\n")


async def test_a_port_is_published_where_the_worker_advertises_it(mesh: FakeMesh, host: DockerHost) -> None:
    mesh.add_instance("t1", image=host.image, inference="textwrap:dedent")
    async with host.run_worker(worker_advertise="127.0.0.1"):
        endpoint = (await mesh.wait_for_status(state="healthy"))["endpoint"]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{endpoint['port']}/healthz") as answer:
                assert (endpoint["host"], answer.status) == ("127.0.0.1", 200)
        mesh.stops.append({"task": "t1", "token": 7})
        await mesh.notify()
        await mesh.wait_for_report()


async def test_an_image_behind_a_password_is_pulled_with_its_secret(
    mesh: FakeMesh, host: DockerHost, docker_engine: Engine
) -> None:
    async with image_registry(host.token) as registry, host.run_worker():
        host.add_stage("", image=registry.image)
        closed = await mesh.wait_for_report()
        assert (closed["reason"]["code"], "cannot pull the image" in closed["reason"]["detail"]) == ("image", True)
        mesh.reports.clear()
        mesh.secret_values["closed"] = {"username": "ann"}
        host.add_stage("", "t2", image=registry.image, image_credentials="closed")
        assert (await mesh.wait_for_report())["reason"] == {
            "code": "image",
            "detail": "Secret closed needs the keys username and password to be the image's credentials",
        }
        mesh.reports.clear()
        mesh.secret_values["closed"] = LOGIN
        host.add_stage("", "t3", image=registry.image, image_credentials="closed")
        assert (await mesh.wait_for_report())["reason"]["code"] == "error", "it is there, and has no program to run"
        docker_engine.run("rmi", "--force", registry.image)


async def test_a_stage_without_egress_has_no_network(mesh: FakeMesh, host: DockerHost) -> None:
    script = "print(sorted(line.split(':')[0].strip() for line in open('/proc/net/dev').readlines()[2:]))"
    host.add_stage(script, egress="none")
    async with host.run_worker():
        assert (await mesh.wait_for_report())["outcome"] == "succeeded"
        await mesh.wait_until(lambda: "log-t1" in mesh.ended_logs)
    assert mesh.logs["log-t1"] == b"['lo']\n"


async def test_a_component_without_egress_serves_and_has_no_way_out(mesh: FakeMesh, host: DockerHost) -> None:
    mesh.add_instance("t1", image=host.image, inference="textwrap:dedent", egress="none")
    async with host.run_worker():
        status = await mesh.wait_for_status(state="healthy")
        (container,) = host.inspect_containers()
        (name,) = container["NetworkSettings"]["Networks"]
        assert name.endswith("-inner")
        network = json.loads(host.engine.run("network", "inspect", name))[0]
        assert network["Internal"]
        assert status["endpoint"]["host"] == container["NetworkSettings"]["Networks"][name]["IPAddress"]


async def test_an_instance_that_knows_another_gateway_is_started_anew(mesh: FakeMesh, host: DockerHost) -> None:
    mesh.add_instance("t1", image=host.image, inference="textwrap:dedent")
    async with host.run_worker(public_url="http://192.0.2.9:8000"):
        await mesh.wait_for_status(state="healthy")
    async with host.run_worker(public_url="http://192.0.2.9:8001"):
        report = await mesh.wait_for_report()
    assert (report["outcome"], report["reason"]) == (
        "lost",
        {
            "code": "lost",
            "detail": "it was started with the gateway at http://192.0.2.9:8000, which is now at http://192.0.2.9:8001",
        },
    )
    assert host.inspect_containers() == []


async def test_a_gateway_that_containers_do_not_reach_is_told(
    mesh: FakeMesh, host: DockerHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "RECONCILE_INTERVAL_S", 0.1)
    monkeypatch.setattr(gateway_check, "RETRY_S", 0.1)
    with bind("127.0.0.1", 0) as gateway:  # nobody listens
        settings = host.make_settings().with_values(public_url=f"http://127.0.0.1:{gateway.getsockname()[1]}")
        worker = app.create(settings, MemoryBus())
        async with worker.router.lifespan_context(worker):
            assert await is_reached(worker.state.runtime)
            mesh.add_instance("t1", image=host.image, inference="textwrap:dedent")
            await mesh.wait_for_status(state="healthy")
            detail = await until_raised(worker.state.runtime.check_gateway)
            assert detail.startswith("containers of a cannot reach the gateway at http://10.")
            assert "no response; their requests for files fail" in detail
            async with await asyncio.start_server(answer_once, sock=gateway):
                await until(lambda: is_reached(worker.state.runtime))
            mesh.stops.append({"task": "t1", "token": 7})
            await mesh.notify()
            await mesh.wait_for_report()


async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    writer.close()


async def until_raised(check: Callable[[], Awaitable[None]]) -> str:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                await check()
            except Unavailable as error:
                return error.detail
            await asyncio.sleep(0.05)


async def is_reached(runtime: Runtime) -> bool:
    try:
        await runtime.check_gateway()
    except Unavailable:
        return False
    return True
