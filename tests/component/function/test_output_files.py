"""Files that a function returns: which are refused, and who sees the reason."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from mlmesh_component.function.context import Context

from tests.component.file_routes import Boxes, send
from tests.component.serving import serving, text
from tests.file_names import NAMES

HERE = "tests.component.function.test_output_files:"


def two_files(first: str, second: str, context: Context) -> dict[str, Any]:
    """Create files with these names, given as Python literals."""
    paths = {}
    for output, name in (("first", first), ("second", second)):
        (context.folder / output).mkdir()
        paths[output] = context.folder / output / name.encode().decode("unicode_escape")
        paths[output].write_text(output)
    return paths


def pages(context: Context) -> Iterator[dict[str, Any]]:
    for number in range(2):
        page = context.folder / str(number) / "page"
        page.parent.mkdir()
        page.write_text(str(number))
        yield {"page": page}


def maybe(page: pathlib.Path | None = None) -> dict[str, Any]:
    return {"is none": page is None}


def folder(context: Context) -> dict[str, Any]:
    return {"all": context.folder}


@pytest.mark.parametrize(
    ("status", "answered"),
    [(413, 413), (403, 403), (400, 500), (404, 500), (409, 500), (422, 500), (429, 503), (500, 503), (507, 503)],
)
async def test_a_result_that_is_refused_is_a_problem(boxes: Boxes, status: int, answered: int) -> None:
    boxes.files["/base/app/files/data/g/a.txt"] = b"hello"
    boxes.put_status = status
    async with serving("upper", url=boxes.url, namespace="app", boxes=("data",)) as served:
        answer = await send(served, "g/a.txt")
    assert answer.status == answered
    assert ("The function's output 'text', results/r1/upper-a.txt, " in answer.json["detail"]) == (answered != 403)
    assert ("retry-after" in answer.headers) == (answered == 503)
    assert "x-mlmesh-not-started" not in answer.headers


def is_possible_here(name: str) -> bool:
    """Whether this file system supports the name."""
    try:
        return name not in (".", "..") and 0 < len(os.fsencode(name)) <= 255 and "\0" not in name
    except UnicodeEncodeError:
        return False


REFUSED_HERE = [(name, rule) for name, rule in NAMES.items() if rule is not None and is_possible_here(name)]


@pytest.mark.parametrize(("name", "rule"), REFUSED_HERE, ids=ascii)
async def test_a_returned_file_that_no_box_can_hold_is_told_at_once(boxes: Boxes, name: str, rule: str) -> None:
    body = json.dumps({"inputs": [text("first", "fine.txt"), text("second", ascii(name)[1:-1])]}).encode()
    async with serving(HERE + "two_files", url=boxes.url, namespace="app", boxes=("data",)) as served:
        answer = await served.ask("POST", "/predict", body)
    detail = "The function's output 'second' is a file whose name no box accepts, "
    assert (answer.status, "retry-after" in answer.headers) == (500, False)
    assert answer.json["detail"] == f"{detail}{name!a}: {rule}; give it another name."
    assert boxes.calls == []


async def test_a_box_that_refuses_a_result_says_why(boxes: Boxes) -> None:
    boxes.files["/base/app/files/data/g/a.txt"] = b"hello"
    boxes.put_status, boxes.reply_body = 422, b'{"detail": "a name may not be so"}'
    async with serving("upper", url=boxes.url, namespace="app", boxes=("data",)) as served:
        answer = await send(served, "g/a.txt")
    detail = "The function's output 'text', results/r1/upper-a.txt, is refused by box data: a name may not be so."
    assert (answer.status, answer.json["detail"]) == (500, detail)


async def test_returned_files_of_one_name_are_both_kept(boxes: Boxes) -> None:
    body = json.dumps({"inputs": [text("first", "x.txt"), text("second", "x.txt")]}).encode()
    async with serving(HERE + "two_files", url=boxes.url, namespace="app", boxes=("data",)) as served:
        answer = await served.ask("POST", "/predict", body, X_Request_ID="r1")
    assert [output["data"] for output in answer.json["outputs"]] == ["results/r1/x.txt", "results/r1/2/x.txt"]
    assert [boxes.files[f"/base/app/files/data/results/r1/{name}"] for name in ("x.txt", "2/x.txt")] == [
        b"first",
        b"second",
    ]


async def test_files_that_are_yielded_one_after_another_are_all_kept(boxes: Boxes) -> None:
    async with serving(HERE + "pages", url=boxes.url, namespace="app", boxes=("data",)) as served:
        answer = await served.ask(
            "POST", "/predict", b'{"inputs": []}', X_Request_ID="r1", Accept="application/x-ndjson"
        )
    pieces = [json.loads(line) for line in answer.body.splitlines()]
    assert [piece["outputs"][0]["data"] for piece in pieces if "outputs" in piece] == [
        "results/r1/page",
        "results/r1/2/page",
    ]
    assert boxes.files["/base/app/files/data/results/r1/page"] == b"0"


@pytest.mark.parametrize("owner", [True, False])
async def test_only_owners_are_told_which_local_path_is_none(owner: bool, capsys: pytest.CaptureFixture[str]) -> None:
    headers = {"X_Mlmesh_Token": "t", **({"X_Mlmesh_Owner": "1"} if owner else {})}
    async with serving("answer_of", token="t") as served:
        answer = await served.ask(
            "POST", "/predict", json.dumps({"inputs": [text("what", "file")]}).encode(), **headers
        )
    error = "FileNotFoundError: [Errno 2] No such file or directory: '/nowhere/at/all'"
    assert answer.status == 500
    assert answer.json.get("error") == (error if owner else None)
    assert ("/nowhere" in answer.body.decode()) == owner
    log = capsys.readouterr().err
    assert log.startswith(f"mlmesh: error {answer.json['error_id']} ")
    assert log.endswith(f"{error}\n")


async def test_a_returned_folder_is_no_file() -> None:
    async with serving(HERE + "folder") as served:
        answer = await served.predict()
    assert (answer.status, answer.json["detail"]) == (
        500,
        "The function's output 'all' names a file that cannot be read.",
    )
    assert answer.json["error"].startswith("OSError: [Errno 22] Not a file: ")


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:9"])
async def test_an_optional_file_may_be_null(url: str | None) -> None:
    body = b'{"inputs": [{"name": "page", "datatype": "FILE", "data": null}]}'
    async with serving(HERE + "maybe", url=url, namespace="app", boxes=("data",)) as served:
        answer = await served.ask("POST", "/predict", body)
    assert (answer.status, answer.json["outputs"][0]["data"]) == (200, [True])
