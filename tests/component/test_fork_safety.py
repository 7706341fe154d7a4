"""Functions that start processes of their own: forked, spawned, pooled, left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.component.scenarios.test_program import Module, Running
from tests.component.serving import numbers, text, until

WORK = '''
import asyncio
import concurrent.futures
import multiprocessing
import os
import signal
import sys
import time


def square(number):
    return number * number


def pool(context):
    with context.Pool(3) as pool:
        return sum(pool.map(square, range(5)))


def executor(context):
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        return sum(executor.map(square, range(5)))


def terminated(context):
    """A child that is told to end, as loaders of data do with their workers."""
    process = context.Process(target=time.sleep, args=(60,))
    process.start()
    process.terminate()
    process.join()
    return -process.exitcode


def interrupted(context):
    """A child that sleeps when it is interrupted: what comes while it is being made is lost in any Python."""
    ours, theirs = context.Pipe()
    process = context.Process(target=_sleep, args=(theirs,), daemon=True)
    process.start()
    ours.recv()
    os.kill(process.pid, signal.SIGINT)
    process.join()
    return process.exitcode


def _sleep(pipe):
    try:
        pipe.send("sleeping")
        time.sleep(60)
    except KeyboardInterrupt:
        sys.exit(5)


def looping(context):
    """A child with an event loop of its own, and its own handler of signals."""
    process = context.Process(target=_loop)
    process.start()
    process.join()
    return process.exitcode


def _loop():
    async def told():
        over = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(over.wait(), 5)
    asyncio.run(told())


def left(context):
    """A child of a child, that nobody ends."""
    first = os.fork()
    if not first:
        second = os.fork()
        if not second:
            time.sleep(120)
        print(second, file=sys.stderr, flush=True)
        os._exit(0)
    os.waitpid(first, 0)
    return 0


def came_back(context):
    """Children that are not ended where they were forked, one after the other: how each of them ended."""
    return [code for how in (_quit, _say, _fail, _return) for code in [_came_back(how)]]


def _came_back(how):
    child = os.fork()
    if not child:
        raise Child(how)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Child(BaseException):
    """Carries a forked child out to the function that the component calls."""


def _quit():
    sys.exit(7)


def _say():
    sys.exit("over")


def _fail():
    raise ValueError("the child's own")


def _return():
    return {"found": 0}


def coming_back(what: str = "", number: int = 0) -> dict:
    try:
        return {"found": came_back(None)} if what else double(number)
    except Child as child:
        return child.args[0]()


def coming_back_together(what: str = "", number: int = 0) -> list:
    try:
        return [{"found": came_back(None)} if one else double(two) for one, two in zip(what, number)]
    except Child as child:
        return [child.args[0]()]


def plain(what: str, method: str = "fork") -> dict:
    return {"found": globals()[what](multiprocessing.get_context(method))}


async def on_loop(what: str, method: str = "fork") -> dict:
    return {"found": globals()[what](multiprocessing.get_context(method))}


def double(number: int) -> dict:
    return {"doubled": 2 * number}


def either(what: str = "", method: str = "fork", number: int = 0) -> dict:
    return plain(what, method) if what else double(number)


async def either_on_loop(what: str = "", method: str = "fork", number: int = 0) -> dict:
    return await on_loop(what, method) if what else double(number)
'''

FOUND = {"pool": 30, "executor": 30, "terminated": signal.SIGTERM, "interrupted": 5, "looping": 0}
LOOPS = ("uvloop", "asyncio")
FUNCTIONS = ("either", "either_on_loop")


@pytest.fixture
def module(tmp_path: Path) -> Module:
    folder = Module(tmp_path)
    folder.write("app/__init__.py", "")
    folder.write("app/work.py", WORK)
    folder.write("without/uvloop.py", "raise ImportError\n")
    return folder


@asynccontextmanager
async def serve_work(module: Module, function: str, loop: str, **environment: str) -> AsyncIterator[Running]:
    if loop == "asyncio":
        environment["PYTHONPATH"] = str(module.folder / "without")
    async with module.serving(
        MLMESH_INFERENCE=f"app.work:{function}", MLMESH_CONCURRENCY="3", **environment
    ) as running:
        await running.ready()
        yield running


async def get_result(running: Running, *inputs: dict[str, Any]) -> Any:
    answer = await running.ask("POST", "/predict", json.dumps({"inputs": list(inputs)}).encode())
    assert answer.status == 200, answer.body
    return answer.json["outputs"][0]["data"][0]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("function", FUNCTIONS)
async def test_processes_that_a_function_starts_leave_the_component_as_it_is(
    module: Module, function: str, loop: str
) -> None:
    async with serve_work(module, function, loop) as running:
        for what, expected in FOUND.items():
            beside = [get_result(running, numbers("number", index, datatype="INT64")) for index in range(8)]
            answer, *doubles = await asyncio.gather(get_result(running, text("what", what)), *beside)
            assert (what, answer, doubles) == (what, expected, [2 * index for index in range(8)])
        assert (await running.stop())[0] == 0


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
async def test_other_ways_to_start_processes_work_too(module: Module, method: str) -> None:
    async with serve_work(module, "either", "uvloop") as running:
        requests = [get_result(running, text("what", what), text("method", method)) for what in ("pool", "executor")]
        assert await asyncio.gather(*requests) == [30, 30]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("function", "environment"), [("coming_back", {}), ("coming_back_together", {"MLMESH_BATCH_SIZE": "2"})]
)
async def test_a_forked_process_that_comes_back_from_the_function_ends(
    module: Module, loop: str, function: str, environment: dict[str, str]
) -> None:
    async with serve_work(module, function, loop, **environment) as running:
        answer = await running.ask("POST", "/predict", json.dumps({"inputs": [text("what", "x")]}).encode())
        assert answer.json["outputs"][0]["data"] == [7, 1, 1, 0]
        assert await get_result(running, numbers("number", 4, datatype="INT64")) == 8
        assert (await running.stop())[0] == 0


@pytest.mark.parametrize("loop", LOOPS)
async def test_a_process_that_is_left_behind_keeps_neither_port_nor_callers(module: Module, loop: str) -> None:
    async with serve_work(module, "either", loop) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        body = json.dumps({"inputs": [text("what", "left")]}).encode()
        head = b"POST /predict HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        writer.write(head + body)
        answer = await asyncio.wait_for(reader.read(), 10)  # until the other side closes
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert running.process.stderr is not None
        child = int(await running.process.stderr.readline())
        try:
            running.process.send_signal(signal.SIGTERM)
            await until(lambda: running.process.returncode is not None)  # its pipes stay open, in the child
            assert running.process.returncode == 0
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", running.port)
        finally:
            os.kill(child, signal.SIGKILL)


def test_only_what_is_still_the_components_own_is_let_go(tmp_path: Path) -> None:
    """Runs in a separate process: only handlers that are still the component's are restored."""
    module = Module(tmp_path)
    module.write("forks.py", FORKS)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, str(tmp_path / "forks.py")], env=environment, check=True)


FORKS = """
import os, signal, socket
from mlmesh_component.fork_safety import SignalHandlers, release_sockets

def handle_by_component(number, frame): ...
def handle_by_module(number, frame): ...

handlers = SignalHandlers(signal.SIGTERM, signal.SIGINT)
signal.signal(signal.SIGTERM, handle_by_component)
signal.signal(signal.SIGINT, handle_by_component)
handlers.record_installed()
signal.signal(signal.SIGINT, handle_by_module)
handlers.restore_handlers()
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
assert signal.getsignal(signal.SIGINT) is handle_by_module

listening, other = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
port = listening.getsockname()[1]
caller = socket.create_connection(("127.0.0.1", port))
accepted, _ = listening.accept()
release_sockets(port)
assert caller.recv(1) == b"", "nobody holds the other end"
assert other.getsockname()[1]
for sock in (listening, accepted):
    assert os.fstat(sock.fileno()).st_rdev == os.stat(os.devnull).st_rdev, "its number is taken"
    assert not os.get_inheritable(sock.fileno())
"""
