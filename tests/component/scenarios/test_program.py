"""The program as the platform and a person start it: processes, exit codes, log lines."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.component.serving import PATIENCE_SECONDS, Answer, ask, text, until

RUNTIME = Path(__file__).parents[3] / "libs" / "component"
PATH = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}


def interpreters() -> list[str]:
    """The current interpreter, and every bare CPython from 3.9 on this machine."""
    names = [f"python3.{minor}" for minor in range(9, 20)]
    paths = [Path(path) for name in names if (path := shutil.which(name, path="/usr/local/bin:/usr/bin"))]
    paths += [path for name in names for path in sorted(Path.home().glob(f".pyenv/versions/*/bin/{name}"))]
    return list(dict.fromkeys([sys.executable, *(os.path.realpath(path) for path in paths)]))


@dataclass
class Module:
    """The checkout of a module, which the runtime serves."""

    folder: Path

    def write(self, name: str, source: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)

    async def start(self, *command: str, **environment: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *command,
            cwd=self.folder,
            env={**PATH, **environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def fails(self, inference: str, **environment: str) -> tuple[int | None, list[str]]:
        """Exit code and the lines of its log."""
        process = await self.start(
            sys.executable, str(RUNTIME / "serve.py"), MLMESH_INFERENCE=inference, MLMESH_PORT="0", **environment
        )
        _, log = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
        return process.returncode, log.decode().splitlines()

    @asynccontextmanager
    async def serving(self, python: str = sys.executable, **environment: str) -> AsyncIterator[Running]:
        port_file = self.folder / "port"
        process = await self.start(
            python,
            str(RUNTIME / "serve.py"),
            **{"MLMESH_PORT": "0", "MLMESH_HOST": "127.0.0.1", "MLMESH_PORT_FILE": str(port_file), **environment},
        )
        try:
            await until(lambda: port_file.exists() or process.returncode is not None)
            assert process.returncode is None, await process.communicate()
            yield Running(process, int(port_file.read_text()))
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


@dataclass
class Running:
    process: asyncio.subprocess.Process
    port: int

    async def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await asyncio.to_thread(ask, self.port, method, path, body, named)

    async def ready(self) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await self.ask("GET", "/readyz")).status != 200:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)

    async def stop(self) -> tuple[int | None, str]:
        self.process.send_signal(signal.SIGTERM)
        _, log = await asyncio.wait_for(self.process.communicate(), PATIENCE_SECONDS)
        return self.process.returncode, log.decode()


@pytest.fixture
def module(tmp_path: Path) -> Module:
    folder = Module(tmp_path)
    folder.write("app/__init__.py", "")
    folder.write("app/greet.py", "def greet(name: str) -> dict:\n    return {'text': 'Hello ' + name}\n")
    return folder


BODY = json.dumps({"inputs": [text("name", "Ada")]}).encode()


@pytest.mark.parametrize("python", interpreters(), ids=str)
async def test_it_serves_from_the_working_directory_on_every_python(module: Module, python: str) -> None:
    async with module.serving(python, MLMESH_INFERENCE="app.greet:greet", MLMESH_INSTANCE_TOKEN="t") as running:
        await running.ready()
        assert (await running.ask("POST", "/predict", BODY)).status == 401
        answer = await running.ask("POST", "/predict", BODY, X_Mlmesh_Token="t")
        assert answer.json == {"outputs": [{"name": "text", "datatype": "str", "data": "Hello Ada"}]}
        assert (await running.ask("GET", "/openapi.json", X_Mlmesh_Token="t")).status == 200
        assert await running.stop() == (0, "")


async def test_the_modules_own_packages_are_never_shadowed_by_ours(module: Module) -> None:
    names = ("server", "schema", "items", "serve", "queue", "http1", "routes", "call", "settings", "json")
    for name in names:
        module.write(f"{name}.py", f"NAME = 'own {name}'")
    imports = ", ".join(name for name in names if name not in ("queue", "json"))
    source = (
        f"import sys, os, {imports}\n"
        f"def f() -> dict:\n    return {{'names': [m.NAME for m in ({imports})], 'first': sys.path[0] == os.getcwd(),\n"
        "            'ours': any('libs/component' in path for path in sys.path)}\n"
    )
    module.write("app/own.py", source)
    async with module.serving(MLMESH_INFERENCE="app.own:f") as running:
        await running.ready()
        answer = await running.ask("POST", "/predict", b'{"inputs": []}')
    data = {output["name"]: output["data"] for output in answer.json["outputs"]}
    assert data["names"] == [f"own {name}" for name in names if name not in ("queue", "json")]
    assert (data["first"], data["ours"]) == ([True], [False])


async def test_it_is_started_by_hand_without_a_platform(module: Module) -> None:
    process = await module.start(
        sys.executable, "-m", "mlmesh_component", "app.greet:greet", "--port", "0", PYTHONPATH=str(RUNTIME)
    )
    assert process.stderr is not None
    first = (await asyncio.wait_for(process.stderr.readline(), PATIENCE_SECONDS)).decode()
    second = (await process.stderr.readline()).decode()
    assert first.startswith("mlmesh: app.greet:greet is ready on http://127.0.0.1:")
    command, _silent, url, _, header, _, body = shlex.split(second.removeprefix("try: "))
    assert command == "curl"
    async with (
        aiohttp.ClientSession(headers=dict([header.split(": ")])) as session,
        session.post(url, data=body) as answer,
    ):
        assert (await answer.json())["outputs"][0]["data"] == "Hello text"
    process.send_signal(signal.SIGINT)
    await process.communicate()
    assert process.returncode == 0


async def test_until_the_model_is_loaded_it_is_alive_but_not_ready(module: Module) -> None:
    wait = "    while not os.path.exists('go'):\n        time.sleep(0.01)\n"
    loader = f"import os, time\ndef load(path):\n{wait}    return 'm'\n"
    module.write("app/model.py", loader + "def f(model) -> dict:\n    return {'model': model}\n")
    module.write("weights", "")
    async with module.serving(
        MLMESH_INFERENCE="app.model:f", MLMESH_LOADER="app.model:load", MLMESH_MODEL_PATH="weights"
    ) as running:
        assert (await running.ask("GET", "/healthz")).status == 200
        answer = await running.ask("GET", "/readyz")
        assert (answer.status, answer.json["status"]) == (503, "starting")
        refused = await running.ask("POST", "/predict", b'{"inputs": []}')
        assert (refused.status, refused.headers["x-mlmesh-not-started"]) == (503, "1")
        assert (await running.ask("GET", "/openapi.json")).status == 503
        module.write("go", "")
        await running.ready()
        answer = await running.ask("POST", "/predict", b'{"inputs": []}')
        assert answer.json["outputs"][0]["data"] == "m"


async def test_a_stop_while_it_starts_is_a_stop(module: Module) -> None:
    module.write("app/slow.py", "import time\ntime.sleep(60)\n")
    async with module.serving(MLMESH_INFERENCE="app.slow:f") as running:
        assert (await running.stop())[0] == 0


async def test_a_stop_waits_for_the_call_that_runs(module: Module) -> None:
    body = "    pathlib.Path('begun').touch()\n    time.sleep(0.5)\n    return {'y': 1}\n"
    source = f"import pathlib, time\ndef f() -> dict:\n{body}"
    module.write("app/slow.py", source)
    async with module.serving(MLMESH_INFERENCE="app.slow:f") as running:
        await running.ready()
        call = asyncio.create_task(running.ask("POST", "/predict", b'{"inputs": []}'))
        await until(lambda: (module.folder / "begun").exists())
        assert await running.stop() == (0, "")
        assert (await call).status == 200


@pytest.mark.parametrize(
    ("source", "inference", "last"),
    [
        (
            "import nowhere",
            "app.bad:f",
            "ModuleNotFoundError: No module named 'nowhere'; add its package to requirements.txt, or to the image",
        ),
        (
            "",
            "app.missing:f",
            "ModuleNotFoundError: No module named 'app.missing'; "
            "the manifest names a module that the repository does not have",
        ),
        ("", "app.bad:f", "module 'app.bad' has no 'f'"),
        (
            "",
            "site:f",
            "module 'site' has no 'f'; Python has a module of this name itself, so call yours something else",
        ),
        ("f = 5", "app.bad:f", "app.bad:f is not a function"),
        ("", "app.bad", "'app.bad' is not of the form package.module:function"),
        (
            "import nowhere",
            "app.bad:f",
            "app/bad.py:1: ModuleNotFoundError: No module named 'nowhere'; add its package to "
            "requirements.txt, or to the image",
        ),
        (
            "import json\njson.loads(1)",
            "app.bad:f",
            "app/bad.py:2: TypeError: the JSON object must be str, bytes or bytearray, not int",
        ),
        ("def f(:", "app.bad:f", "app/bad.py:1: SyntaxError: invalid syntax (bad.py, line 1)"),
        ("import sys; sys.exit('no licence')", "app.bad:f", "SystemExit: no licence"),
        ("def f(x: complex): ...", "app.bad:f", "parameter 'x': there is no datatype for <class 'complex'>"),
        (
            "def f(inputs):\n    ':type inputs.x: FP23'",
            "app.bad:f",
            "inputs.x: unknown datatype 'FP23'; known are FP32, FP64, INT32, INT64, BOOL, str, dict, FILE",
        ),
        (
            "def f(model): ...",
            "app.bad:f",
            "it takes a model, but none is given: name modelBox and modelPath (locally: --model)",
        ),
    ],
)
async def test_what_cannot_be_served_ends_with_one_line_that_says_why(
    module: Module, source: str, inference: str, last: str
) -> None:
    module.write("app/bad.py", source)
    code, log = await module.fails(inference)
    assert code == 1
    assert log[-1].startswith(f"mlmesh: cannot serve {inference}: ")
    assert log[-1].endswith(last)


async def test_a_loader_that_fails_shows_its_traceback(module: Module) -> None:
    module.write("app/model.py", "def load(path):\n    raise RuntimeError('bad weights')\ndef f(model): ...\n")
    module.write("weights", "")
    code, log = await module.fails("app.model:f", MLMESH_LOADER="app.model:load", MLMESH_MODEL_PATH="weights")
    assert (code, log[-1]) == (1, "mlmesh: cannot serve app.model:f: app/model.py:2: RuntimeError: bad weights")
    begin = log.index("Traceback (most recent call last):")
    assert log[begin + 1].endswith('model.py", line 2, in load')
    assert "    raise RuntimeError('bad weights')" in log


@pytest.mark.parametrize(
    ("source", "first"),
    [("import json\nraise ValueError('no')\n", 'bad.py", line 2, in <module>'), ("def f(:\n", 'bad.py", line 1')],
)
async def test_the_traceback_of_an_import_begins_in_the_module(module: Module, source: str, first: str) -> None:
    module.write("app/bad.py", source)
    _, log = await module.fails("app.bad:f")
    assert next(line for line in log if line.startswith("  File ")).endswith(first)


@pytest.mark.parametrize(
    ("inputs", "last"),
    [
        ([], "warm-up request 1: 422 name: is missing"),
        ([text("name", "")], "warm-up request 1: ValueError: nobody"),
    ],
)
async def test_a_warm_up_that_fails_fails_the_start(module: Module, inputs: list[object], last: str) -> None:
    source = "def f(name: str) -> dict:\n    if not name:\n        raise ValueError('nobody')\n    return {'n': name}\n"
    module.write("app/warm.py", source)
    warmup = json.dumps([{"inputs": inputs}])
    code, log = await module.fails("app.warm:f", MLMESH_WARMUP=warmup)
    assert (code, log[-1]) == (1, f"mlmesh: cannot serve app.warm:f: {last}")


async def test_the_warm_up_has_been_answered_before_it_is_ready(module: Module) -> None:
    source = "SEEN = []\ndef f(name: str) -> dict:\n    SEEN.append(name)\n    return {'seen': ' '.join(SEEN)}\n"
    module.write("app/warm.py", source)
    warmup = json.dumps([{"inputs": [text("name", name)]} for name in ("one", "two")])
    async with module.serving(MLMESH_INFERENCE="app.warm:f", MLMESH_WARMUP=warmup) as running:
        await running.ready()
        answer = await running.ask("POST", "/predict", BODY)
    assert answer.json["outputs"][0]["data"] == "one two Ada"


async def test_a_taken_port_is_said(module: Module) -> None:
    async with module.serving(MLMESH_INFERENCE="app.greet:greet") as running:
        process = await module.start(
            sys.executable,
            str(RUNTIME / "serve.py"),
            MLMESH_INFERENCE="app.greet:greet",
            MLMESH_HOST="127.0.0.1",
            MLMESH_PORT=str(running.port),
        )
        _, log = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert process.returncode == 1
    assert log.decode().splitlines()[-1].startswith("mlmesh: cannot serve app.greet:greet: OSError: ")


async def test_a_setting_that_cannot_be_used_is_one_line(module: Module) -> None:
    process = await module.start(sys.executable, str(RUNTIME / "serve.py"), MLMESH_INFERENCE="a:b", MLMESH_TIMEOUT="x")
    _, log = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert (process.returncode, log) == (2, b"mlmesh: MLMESH_TIMEOUT must be seconds, not 'x'\n")


async def test_threads_that_a_module_leaves_behind_do_not_keep_it_alive(module: Module) -> None:
    source = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\ndef f(): ...\n"
    module.write("app/threads.py", source)
    async with module.serving(MLMESH_INFERENCE="app.threads:f") as running:
        await running.ready()
        assert (await running.stop())[0] == 0


async def test_what_asyncio_objects_a_module_makes_belong_to_the_serving_loop(module: Module) -> None:
    body = "async def f() -> dict:\n    async with LOCK:\n        return {'y': 1}\n"
    source = f"import asyncio\nLOCK = asyncio.Lock()\n{body}"
    module.write("app/lock.py", source)
    for python in interpreters():
        async with module.serving(python, MLMESH_INFERENCE="app.lock:f") as running:
            await running.ready()
            assert (await running.ask("POST", "/predict", b'{"inputs": []}')).status == 200
        (module.folder / "port").unlink()
