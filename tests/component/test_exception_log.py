"""Exceptions of functions: 500 with an error id, the text for the app's owners, the traceback in the log."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlmesh_component.exception_log import MAX_TEXT, describe_exception, locate_exception, log_exception

from tests.component.serving import Answer, serving, text


class Textless(Exception):
    def __str__(self) -> str:
        raise KeyError("no text")

    __repr__ = __str__


class Leaves(Exception):
    def __str__(self) -> str:
        raise SystemExit(7)

    __repr__ = __str__


class NoText(Exception):
    def __str__(self) -> Any:
        return 5


class Rude(BaseException):
    pass


class Noted(ValueError):
    __notes__ = ["note \udcff"]  # noqa: RUF012 - as Python itself has it


KINDS: dict[str, BaseException] = {
    "surrogate": ValueError("bad \udcff name"),
    "zero": ValueError("a\0b\x1b[31m\r\n"),
    "empty": ValueError(),
    "textless": Textless(),
    "leaves": Leaves(),
    "no text": NoText(),
    "huge": ValueError("x" * 5_000_000),
    "exit": SystemExit(3),
    "interrupt": KeyboardInterrupt(),
    "stop": StopIteration(1),
    "stop async": StopAsyncIteration(),
    "cancelled": asyncio.CancelledError("mine"),
    "closed": GeneratorExit(),
    "rude": Rude("own base"),
    "noted": Noted("with a note"),
    "unicode": UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    "timeout": TimeoutError(),
    "group": ExceptionGroup("two", [ValueError("one"), ExceptionGroup("more", [Textless()])]),
    "base group": BaseExceptionGroup("two", [SystemExit(3)]),
}
NAMES = {
    "surrogate": "ValueError: bad \\udcff name",
    "textless": "tests.component.test_exception_log.Textless: (text not available: KeyError)",
    "leaves": "tests.component.test_exception_log.Leaves: (text not available: SystemExit)",
    "no text": "tests.component.test_exception_log.NoText: (text not available: TypeError)",
    "exit": "SystemExit: 3",
    "interrupt": "KeyboardInterrupt",
    "group": "ExceptionGroup: two (2 sub-exceptions)",
}
HERE = "tests.component.test_exception_log:"


def plain(kind: str) -> dict[str, Any]:
    if kind in KINDS:
        raise KINDS[kind]
    return {"kind": kind}


async def on_loop(kind: str) -> dict[str, Any]:
    await asyncio.sleep(0)
    return plain(kind)


class Trap:
    """Raises when an attribute is read."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __getattr__(self, name: str) -> Any:
        raise KINDS[self.kind]


def return_trap(kind: str) -> dict[str, Any]:
    return {"kind": Trap(kind) if kind in KINDS else kind}


async def return_trap_async(kind: str) -> dict[str, Any]:
    return return_trap(kind)


def return_trap_batch(kind: list[str]) -> list[Any]:
    return [return_trap(name) for name in kind]


def in_pieces(kind: str) -> Iterator[dict[str, Any]]:
    yield {"piece": 1}
    yield plain(kind)


async def in_pieces_on_loop(kind: str) -> AsyncIterator[dict[str, Any]]:
    yield {"piece": 1}
    yield plain(kind)


def run_batch(kind: list[str]) -> list[Any]:
    return [KINDS.get(name, {"kind": name}) for name in kind]


async def run_batch_async(kind: list[str]) -> list[Any]:
    return run_batch(kind)


def all_or_none(kind: list[str]) -> list[Any]:
    return [plain(name) for name in kind]


def bad_end(kind: str) -> Iterator[dict[str, Any]]:
    """Raises when it is closed early."""
    try:
        while True:
            yield {"piece": "x" * 100_000}
    finally:
        raise KINDS[kind]


async def bad_end_on_loop(kind: str) -> AsyncIterator[dict[str, Any]]:
    try:
        while True:
            yield {"piece": "x" * 100_000}
            await asyncio.sleep(0)
    finally:
        raise KINDS[kind]


def logged_under(error_id: str, log: str) -> bool:
    return f"mlmesh: error {error_id} (request " in log


def is_told(answer: Answer, kind: str) -> None:
    document = json.loads(answer.body.decode())
    assert (answer.status, document["title"]) == (500, "Internal Server Error")
    assert len(document["error"]) < MAX_TEXT + 100
    assert document["error"].startswith(NAMES.get(kind, ""))


LEAVING = [kind for kind, error in KINDS.items() if not isinstance(error, Exception)]


@pytest.mark.parametrize("function", ["return_trap", "return_trap_async", "return_trap_batch"])
async def test_what_a_returned_value_raises_is_answered_as_the_function_s_own(function: str) -> None:
    batch: dict[str, Any] = {"batch_size": 2} if function == "return_trap_batch" else {}
    async with serving(HERE + function, **batch) as served:
        for kind in LEAVING:
            is_told(await served.predict(text("kind", kind)), kind)
        assert (await served.predict(text("kind", "well"))).status == 200


@pytest.mark.parametrize("function", ["plain", "on_loop"])
async def test_every_exception_is_answered_at_once(function: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(HERE + function) as served:
        answers = {kind: await served.predict(text("kind", kind)) for kind in KINDS}
        assert (await served.predict(text("kind", "well"))).status == 200
    log = capsys.readouterr().err
    for kind, answer in answers.items():
        stopped = function == "on_loop" and kind == "stop"  # Python itself: a coroutine cannot raise this
        is_told(answer, "" if stopped else kind)
        assert logged_under(answer.json["error_id"], log)


@pytest.mark.parametrize("function", ["run_batch", "run_batch_async"])
async def test_the_others_of_a_batch_are_answered(function: str) -> None:
    async with serving(HERE + function, batch_size=50, batch_delay=0.05) as served:
        requests = [served.predict(text("kind", kind)) for name in KINDS for kind in (name, f"{name} not")]
        answers = await asyncio.gather(*requests)
    for kind, raised, well in zip(KINDS, answers[::2], answers[1::2], strict=True):
        is_told(raised, kind)
        assert well.json["outputs"] == [text("kind", f"{kind} not")]


@pytest.mark.parametrize("kind", ["surrogate", "leaves", "interrupt"])
async def test_one_that_ends_a_whole_batch_is_told_to_each(kind: str) -> None:
    async with serving(HERE + "all_or_none", batch_size=3) as served:
        for answer in await asyncio.gather(*[served.predict(text("kind", kind)) for _ in range(3)]):
            is_told(answer, kind)


@pytest.mark.parametrize("function", ["in_pieces", "in_pieces_on_loop"])
async def test_a_stream_ends_with_it(function: str) -> None:
    async with serving(HERE + function) as served:
        for kind in KINDS:
            body = json.dumps({"inputs": [text("kind", kind)]}).encode()
            answer = await served.ask("POST", "/predict", body, accept="application/x-ndjson")
            first, last = map(json.loads, answer.body.decode().splitlines())
            assert (first["outputs"][0]["data"], last["status"]) == ([1], 500), kind


@pytest.mark.parametrize("function", ["bad_end", "bad_end_on_loop"])
async def test_a_generator_that_ends_badly_leaves_its_slot_free(
    function: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = ("surrogate", "leaves", "interrupt", "rude", "cancelled")
    async with serving(HERE + function) as served:
        for kind in kinds:
            body = json.dumps({"inputs": [text("kind", kind)]}).encode()
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            assert await reader.read(100)
            writer.close()
    # each call was answered, so the slot was free again
    assert "ValueError: bad \\udcff name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "headers", "is_owners"),
    [
        ({}, {}, True),
        ({"token": "t"}, {"X_Mlmesh_Token": "t"}, False),
        ({"token": "t"}, {"X_Mlmesh_Token": "t", "X_Mlmesh_Owner": "1"}, True),
    ],
    ids=["by hand", "somebody", "an owner"],
)
@pytest.mark.parametrize("path", ["/predict", "/v2/models/component/infer"])
@pytest.mark.parametrize("function", ["plain", "on_loop", "run_batch", "in_pieces"])
async def test_only_owners_are_told_what_it_says(
    function: str,
    path: str,
    settings: dict[str, Any],
    headers: dict[str, str],
    is_owners: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if function == "in_pieces" and path != "/predict":
        return  # generator functions respond on this route only
    item: dict[str, Any] = text("kind", "surrogate")
    if path != "/predict":
        item = {"name": "kind", "datatype": "BYTES", "shape": [1], "data": ["surrogate"]}
    batch: dict[str, Any] = {"batch_size": 2} if function == "run_batch" else {}
    async with serving(HERE + function, **batch, **settings) as served:
        answer = await served.ask("POST", path, json.dumps({"inputs": [item]}).encode(), **headers)
    body = answer.body.decode()
    assert ("ValueError" in body, "udcff" in body) == (is_owners, is_owners)
    error_id = json.loads(body.splitlines()[-2].removeprefix("data: ") if function == "in_pieces" else body)["error_id"]
    assert f"error id {error_id}." in body
    assert logged_under(error_id, capsys.readouterr().err)


@given(st.text(st.characters(), max_size=30), st.sampled_from([ValueError, KeyError, OSError, SystemExit, Rude]))
def test_any_text_can_be_written(message: str, kind: type[BaseException]) -> None:
    assert describe_exception(kind(message)).encode()


def test_what_nobody_reads_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def write(self, body: str) -> None:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", Closed())
    assert log_exception(ValueError("x"), "r1")


def test_an_exception_is_located_in_the_developers_own_code(tmp_path: Path) -> None:
    own, library = tmp_path / "app" / "code.py", tmp_path / "venv" / "site-packages" / "numbers.py"
    for path, source in ((own, "import json\ndef go(deeper):\n    deeper()\n"), (library, "def fail():\n    1 / 0\n")):
        path.parent.mkdir(parents=True)
        path.write_text(source)
    spaces: list[dict[str, Any]] = [{}, {}]
    for space, path in zip(spaces, (own, library), strict=True):
        exec(compile(path.read_text(), path, "exec"), space)  # noqa: S102
    with pytest.raises(ZeroDivisionError) as raised:
        spaces[0]["go"](spaces[1]["fail"])
    assert locate_exception(raised.value, str(tmp_path)) == "app/code.py:3: "
    assert locate_exception(raised.value, str(tmp_path / "elsewhere")) == ""
    own.write_text("def f(:\n")
    assert locate_exception(SyntaxError("invalid", (str(own), 1, 1, None)), str(tmp_path)) == "app/code.py:1: "
    assert locate_exception(SyntaxError("invalid", ("<string>", 1, 1, None)), str(tmp_path)) == ""


SECRET = 'sesame"+ö 1'


@pytest.mark.parametrize(
    "shown",
    [SECRET, repr(SECRET), json.dumps(SECRET), quote(SECRET), base64.b64encode(SECRET.encode()).decode()],
)
def test_the_text_of_an_exception_has_no_value_of_a_secret(monkeypatch: pytest.MonkeyPatch, shown: str) -> None:
    monkeypatch.setenv("PASSWORD", SECRET)
    monkeypatch.setenv("PLAIN", "not secret")
    monkeypatch.setenv("MLMESH_SECRET_VARIABLES", '["PASSWORD", "GONE"]')
    described = describe_exception(ValueError(f"login with {shown} and not secret failed"))
    assert "sesame" not in described
    assert shown not in described
    assert described.startswith("ValueError: login with ")
    assert described.endswith(" and not secret failed")


def test_a_value_of_several_lines_and_at_the_cut_of_a_long_text_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "begin-key\nline-two\n")
    monkeypatch.setenv("MLMESH_SECRET_VARIABLES", '["KEY"]')
    filler = "x" * (MAX_TEXT // 2 - 4)
    described = describe_exception(ValueError(f"{filler}begin-key{filler}line-two{filler}"))
    assert ("begi" in described, "line-t" in described) == (False, False)
    monkeypatch.setenv("MLMESH_SECRET_VARIABLES", "no JSON")
    assert describe_exception(ValueError("line-two")) == "ValueError: line-two"
