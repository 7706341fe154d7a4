"""One contract for every runtime: processes of this host and containers of a Docker Engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from libs.common.settings import Settings
from services.worker.runtime import Exit, Runtime, RuntimeFailure
from services.worker.runtime.spec import Mount
from tests.contracts import escapes
from tests.contracts.place import Place, answers, component, fate, said, started, text, until
from tests.servers.engine import Engine

PATIENCE_S = 60.0
WAITS = "import time; print('here', flush=True); time.sleep(600)"
OBEYS = """
import signal, sys, time
def end(*_):
    print("asked", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("here", flush=True)
time.sleep(600)
"""
IGNORES = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WAITS


@pytest.fixture(autouse=True)
async def patience() -> AsyncIterator[None]:
    async with asyncio.timeout(PATIENCE_S):
        yield


@pytest.fixture(params=["process", "docker"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    if request.param == "process":
        settings = Settings.from_values(internal_token="t", scratch=tmp_path, data=tmp_path)
        async with AsyncExitStack() as stack:
            place = Place(settings, "any", stack)
            yield place
            await (await place.worker()).close(detach=False)
        return
    engine: Engine = request.getfixturevalue("docker_engine")
    image: str = request.getfixturevalue("python_image")
    runtime = engine.runtime
    settings = Settings.from_values(internal_token="t", scratch=tmp_path, data=tmp_path, runtime=runtime)
    async with AsyncExitStack() as stack:
        place = Place(settings, image, stack)
        stack.callback(engine.clear, place.installation)
        yield place


@pytest.fixture
async def runtime(place: Place) -> Runtime:
    return await place.worker()


async def test_what_it_printed_and_how_it_ended_are_known(place: Place, runtime: Runtime) -> None:
    program = "import sys; print('\u0436 \\t\\0'); sys.stderr.write('err\\n')"
    name = await started(runtime, place.python(program))
    assert await runtime.wait(name) == Exit(0)
    # An engine reads the two streams by itself: their lines come whole, in no promised order.
    assert sorted((await text(runtime, name)).splitlines()) == [b"err", "\u0436 \t\0".encode()]


@pytest.mark.parametrize(
    ("program", "ended"),
    [
        ("raise SystemExit(3)", Exit(3)),
        ("raise SystemExit(255)", Exit(255)),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", Exit(None, 9)),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", Exit(None, 11)),
    ],
)
async def test_a_bad_end_has_its_code_or_signal(place: Place, runtime: Runtime, program: str, ended: Exit) -> None:
    name = await started(runtime, place.python(program))
    assert await runtime.wait(name) == ended


async def test_a_command_that_is_not_there_fails(place: Place, runtime: Runtime) -> None:
    found = await fate(runtime, place.python("", command=("no-such-program", "x")))
    assert found == Exit(127) or "no-such-program" in str(found)  # a shell says it by the status, an engine in words


async def test_the_environment_is_what_was_given_and_nothing_of_the_worker(
    place: Place, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLMESH_SECRET_KEY", "mine")
    monkeypatch.setenv("WORKER_PRIVATE", "mine")
    program = """
import os
print(*sorted(name for name in os.environ if name.startswith(("MLMESH_", "WORKER", "GIVEN"))), os.environ["GIVEN"])
"""
    name = await started(runtime, place.python(program, env={"GIVEN": "a b=c\n$HOME", "MLMESH_URL": "http://x"}))
    assert await runtime.wait(name) == Exit(0)
    assert await text(runtime, name) == b"GIVEN MLMESH_URL a b=c\n$HOME\n"


async def test_files_are_at_the_same_path_inside(place: Place, runtime: Runtime) -> None:
    given, taken = place.shared("given"), place.shared("taken")
    (given / "a.txt").write_text("hello")
    program = f"open({str(taken / 'b.txt')!r}, 'w').write(open({str(given / 'a.txt')!r}).read().upper())"
    mounts = (Mount(given / "a.txt", read_only=True), Mount(taken, read_only=False))
    name = await started(runtime, place.python(program, mounts=mounts))
    assert await runtime.wait(name) == Exit(0)
    assert (taken / "b.txt").read_text() == "HELLO"


async def test_there_is_a_place_for_temporary_files(place: Place, runtime: Runtime) -> None:
    name = await started(runtime, place.python("import tempfile; tempfile.TemporaryFile().write(b'x' * 1000000)"))
    assert await runtime.wait(name) == Exit(0)


async def test_processes_meet_at_sockets_among_temporary_files(place: Place, runtime: Runtime) -> None:
    """As they do with the start methods forkserver and spawn, and with managers."""
    program = "from multiprocessing import connection as c; l = c.Listener(family='AF_UNIX'); c.Client(l.address)"
    name = await started(runtime, place.python(program))
    assert await runtime.wait(name) == Exit(0)


async def test_the_log_is_followed_while_it_runs(place: Place, runtime: Runtime) -> None:
    go = place.shared("go")
    program = f"""
import os, time
print("first")
while not os.path.exists({str(go / "on")!r}): time.sleep(0.01)
print("second")
"""
    name = await started(runtime, place.python(program, mounts=(Mount(go, read_only=False),)))
    found = b""
    async for piece in runtime.follow_log(name, 0):
        found += piece
        if found == b"first\n":
            (go / "on").touch()
    assert found == b"first\nsecond\n"


async def test_the_log_goes_on_from_an_offset(place: Place, runtime: Runtime) -> None:
    name = await started(runtime, place.python("print('0123456789')"))
    assert await runtime.wait(name) == Exit(0)
    assert await text(runtime, name, 4) == b"456789\n"
    assert await text(runtime, name, 11) == b""


async def test_a_long_log_arrives_whole(place: Place, runtime: Runtime) -> None:
    program = "for number in range(20000): print(f'{number:060d}')"
    name = await started(runtime, place.python(program))
    expected = b"".join(b"%060d\n" % number for number in range(20000))
    assert await text(runtime, name, 61) == expected[61:]


async def test_a_stop_lets_it_end_by_itself(place: Place, runtime: Runtime) -> None:
    name = await started(runtime, place.python(OBEYS))
    await said(runtime, name, b"here\n")
    await runtime.stop(name, 30.0)
    assert await runtime.wait(name) == Exit(0)
    assert await text(runtime, name) == b"here\nasked\n"


async def test_a_stop_kills_what_does_not_obey(place: Place, runtime: Runtime) -> None:
    name = await started(runtime, place.python(IGNORES))
    await said(runtime, name, b"here\n")
    await runtime.stop(name, 1.0)
    assert await runtime.wait(name) == Exit(None, 9)


async def test_a_stop_without_grace_is_at_once(place: Place, runtime: Runtime) -> None:
    name = await started(runtime, place.python(IGNORES))
    await said(runtime, name, b"here\n")
    async with asyncio.timeout(5.0):
        await runtime.stop(name, 0.0)
        assert await runtime.wait(name) == Exit(None, 9)


async def test_what_the_command_leaves_running_ends_with_it(place: Place, runtime: Runtime) -> None:
    mark = place.shared("mark")
    program = f"""
import subprocess, sys, time, os
child = "import time\\nwhile True: open({str(mark / "alive")!r}, 'w').close(); time.sleep(0.01)"
subprocess.Popen([sys.executable, "-c", child])
while not os.path.exists({str(mark / "alive")!r}): time.sleep(0.01)
"""
    name = await started(runtime, place.python(program, mounts=(Mount(mark, read_only=False),)))
    assert await runtime.wait(name) == Exit(0)
    (mark / "alive").unlink(missing_ok=True)
    await asyncio.sleep(0.2)  # twenty times what a living one would need
    assert not (mark / "alive").exists()


@pytest.mark.parametrize("end", ["by itself", "stopped", "not awaited"])
async def test_what_got_out_of_its_session_ends_with_it(place: Place, runtime: Runtime, end: str) -> None:
    mark = place.shared("mark")
    program = escapes.program(mark) + ("" if end == "by itself" else "time.sleep(600)")
    name = await started(runtime, place.python(program, mounts=(Mount(mark, read_only=False),)))
    await said(runtime, name, b"left\n")
    if end == "stopped":
        await runtime.stop(name, 30.0)
    if end != "not awaited":
        await runtime.wait(name)
    await runtime.remove(name)
    escapes.forget(mark)
    await asyncio.sleep(0.2)  # twenty times what a living one would need
    assert list(mark.iterdir()) == []


async def test_starting_again_what_runs_changes_nothing(place: Place, runtime: Runtime) -> None:
    wanted = place.python(OBEYS)
    await started(runtime, wanted)
    await said(runtime, wanted.name, b"here\n")
    await started(runtime, wanted)
    await runtime.stop(wanted.name, 30.0)
    assert await text(runtime, wanted.name) == b"here\nasked\n"


async def test_a_worker_lists_its_own_running_and_ended(place: Place, runtime: Runtime) -> None:
    running, ended = place.python(WAITS, task="a"), place.python("pass", task="b")
    for wanted in (running, ended):
        await started(runtime, wanted)
    other = await place.worker("two")
    await started(other, place.python(WAITS, task="c", worker="two"))
    await runtime.wait(ended.name)
    found = {one.name: (one.labels["mlmesh.task"], one.running) for one in await runtime.list_containers()}
    assert found == {running.name: ("a", True), ended.name: ("b", False)}
    await other.close(detach=False)


async def test_what_is_removed_is_forgotten(place: Place, runtime: Runtime) -> None:
    name = await started(runtime, place.python(WAITS))
    await runtime.remove(name)
    await runtime.remove(name)
    assert await runtime.list_containers() == []
    with pytest.raises(RuntimeFailure):
        await runtime.wait(name)


async def test_what_is_not_known_cannot_be_awaited_but_stopped_and_removed(runtime: Runtime) -> None:
    with pytest.raises(RuntimeFailure):
        await runtime.wait("mlmesh-nothing-1")
    await runtime.stop("mlmesh-nothing-1", 1.0)
    await runtime.remove("mlmesh-nothing-1")


async def test_the_next_worker_takes_over_what_runs(place: Place, runtime: Runtime) -> None:
    name = await started(runtime, place.python(OBEYS))
    await said(runtime, name, b"here\n")
    following = await place.worker()
    assert [(one.name, one.running) for one in await following.list_containers()] == [(name, True)]
    reading = asyncio.create_task(text(following, name, 5))
    waiting = asyncio.create_task(following.wait(name))
    await following.stop(name, 30.0)
    assert (await waiting, await reading) == (Exit(0), b"asked\n")


async def test_the_next_worker_learns_how_it_ended_meanwhile(place: Place, runtime: Runtime) -> None:
    name = await started(runtime, place.python("print('bye'); raise SystemExit(7)"))
    assert await runtime.wait(name) == Exit(7)
    following = await place.worker()
    assert await following.wait(name) == Exit(7)
    assert await text(following, name) == b"bye\n"


async def test_a_worker_that_leaves_nothing_ends_all(place: Place, runtime: Runtime) -> None:
    for task in ("a", "b"):
        await said(runtime, await started(runtime, place.python(WAITS, task=task)), b"here\n")
    await runtime.close(detach=False)
    assert [one.name for one in await (await place.worker()).list_containers() if one.running] == []


async def test_a_component_answers_at_its_address_with_its_token(place: Place, runtime: Runtime) -> None:
    module = place.shared("module")
    (module / "double.py").write_text("def double(number: float) -> dict:\n    return {'doubled': 2 * number}\n")
    wanted = component(place, module)
    name = await started(runtime, wanted)
    host, port = await runtime.get_address(name, 8002)
    async with aiohttp.ClientSession(f"http://{host}:{port}") as session:
        await until(lambda: answers(session, "/readyz"))
        async with session.post("/predict", json={"inputs": []}) as refused:
            assert refused.status == 401
        item = {"name": "number", "datatype": "FP64", "data": [21.0], "shape": [1]}
        headers = {"X-Mlmesh-Token": "secret"}
        async with session.post("/predict", json={"inputs": [item]}, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            assert (await answer.json())["outputs"][0]["data"] == [42.0]
    await runtime.stop(name, 30.0)
    assert await runtime.wait(name) == Exit(0)


async def test_a_component_that_ends_early_has_no_address(place: Place, runtime: Runtime) -> None:
    name = await started(runtime, component(place, place.shared("empty")))
    await runtime.wait(name)
    with pytest.raises(RuntimeFailure):
        await runtime.get_address(name, 8002)
    assert b"No module named 'double'" in await text(runtime, name)
