"""The Open Inference Protocol, by its specification and with an unmodified client."""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy
import pytest
from mlmesh_component.api.oip import InferRequest
from mlmesh_component.api.oip_tensors import pack_elements, to_tensor
from mlmesh_component.function.annotation_types import resolve_type
from mlmesh_component.function.items import BinaryElements
from mlmesh_component.function.schema import Schema
from mlmesh_component.problems import Malformed

from tests.component.functions import BATCHES, GATE
from tests.component.serving import Answer, Served, serving
from tests.servers.provision import environment

CLIENT = Path(__file__).parents[1] / "programs" / "triton_client.py"
INFER = "/v2/models/component/infer"


def fp64(name: str, *data: float, **members: Any) -> dict[str, Any]:
    return {"name": name, "datatype": "FP64", "shape": [len(data)], "data": list(data), **members}


async def infer(served: Served, *inputs: dict[str, Any], **members: Any) -> Answer:
    return await served.ask("POST", INFER, json.dumps({"inputs": list(inputs), **members}).encode())


async def test_tensors_in_and_out() -> None:
    async with serving("add") as served:
        answer = await infer(served, fp64("x", 1.0, 2.0), id="7", outputs=[{"name": "total"}])
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    total = {"name": "total", "datatype": "FP64", "shape": [1], "data": [3.0]}
    assert answer.json == {"id": "7", "model_name": "component", "model_version": "1", "outputs": [total]}


async def test_nested_data_and_narrow_types_are_taken() -> None:
    x = {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [[1.0, 2.0], [3.0, 4.0]]}
    async with serving("add") as served:
        assert (await infer(served, x)).json["outputs"][0]["data"] == [10.0]


async def test_texts_are_bytes() -> None:
    name = {"name": "name", "datatype": "BYTES", "shape": [1], "data": ["Zoë"]}
    times = {"name": "times", "datatype": "UINT8", "shape": [1], "data": [2]}
    async with serving("greet") as served:
        text, count = (await infer(served, name, times)).json["outputs"]
    assert text == {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["warm Zoëwarm Zoë"]}
    assert count == {"name": "times", "datatype": "INT64", "shape": [1], "data": [2]}


async def test_a_binary_body_has_its_header_first() -> None:
    content = struct.pack("<2d", 1.5, float("inf"))
    x = {"name": "x", "datatype": "FP64", "shape": [2], "parameters": {"binary_data_size": len(content)}}
    header = json.dumps({"inputs": [x], "parameters": {"binary_data_output": True}}).encode()
    async with serving("add") as served:
        answer = await served.ask("POST", INFER, header + content, Inference_Header_Content_Length=str(len(header)))
    size = int(answer.headers["inference-header-content-length"])
    total, count = json.loads(answer.body[:size])["outputs"]
    assert total["parameters"] == {"binary_data_size": 8}
    assert count["parameters"] == {"binary_data_size": 4}
    assert struct.unpack("<di", answer.body[size:]) == (float("inf"), 2)


async def test_what_is_here_and_what_it_takes() -> None:
    async with serving("add") as served:
        server = (await served.ask("GET", "/v2")).json
        model = (await served.ask("GET", "/v2/models/component/versions/1")).json
        states = [(await served.ask("GET", path)).status for path in ("/v2/health/live", "/v2/health/ready")]
        ready = (await served.ask("GET", "/v2/models/component/ready")).json
    assert server["extensions"] == ["binary_tensor_data"]
    assert [tensor["name"] for tensor in model["inputs"]] == ["x", "note"]
    assert model["inputs"][0] == {"name": "x", "datatype": "FP32", "shape": [-1]}
    assert model["outputs"][1] == {"name": "count", "datatype": "INT32", "shape": [-1]}
    assert states == [200, 200]
    assert ready == {"name": "component", "ready": True}


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        ({"name": "x", "datatype": "FP64", "data": [1.0]}, "x: shape must be a list"),
        ({"name": "x", "datatype": "FP64", "shape": [3], "data": [1.0]}, "x: shape [3] holds 3 values"),
        ({"name": "x", "datatype": "FP64", "shape": [1]}, "x: data is missing"),
        ({"name": "x", "datatype": "BF16", "shape": [1], "data": [1]}, "x: datatype must be BYTES or one of"),
        ({"name": "x", "datatype": "BYTES", "shape": [1], "data": ["1"]}, "x: datatype must be FP32 or FP64"),
        ({"name": "x", "datatype": "FP64", "shape": [1], "data": ["1"]}, "x: data must be a one-dimensional list"),
        ({"datatype": "FP64", "shape": [1], "data": [1.0]}, "inputs[0]: must be a tensor with a name"),
        ({"name": "x", "datatype": "FP64", "shape": [1], "parameters": {"binary_data_size": 8}}, "0 bytes are left"),
    ],
)
async def test_a_tensor_that_does_not_fit_is_named(tensor: dict[str, Any], message: str) -> None:
    async with serving("add") as served:
        answer = await infer(served, tensor)
    assert answer.status == 422
    assert message in answer.json["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/other", 404),
        ("POST", "/v2/models/other/infer", 404),
        ("GET", "/v2/models/component/versions/2", 404),
        ("GET", "/v2/nothing", 404),
        ("GET", INFER, 405),
        ("POST", INFER, 400),
    ],
)
async def test_a_refusal_is_an_error_of_the_protocol(method: str, path: str, status: int) -> None:
    async with serving("add") as served:
        answer = await served.ask(method, path, b"{" if method == "POST" else None)
    assert answer.status == status
    assert isinstance(answer.json["error"], str)


async def test_an_answer_in_pieces_is_for_predict_alone() -> None:
    async with serving("count") as served:
        answer = await infer(served, {"name": "to", "datatype": "INT32", "shape": [1], "data": [2]})
    assert answer.status == 400
    assert "predict" in answer.json["error"]


async def test_what_the_function_raises_is_told() -> None:
    async with serving("raises") as served:
        answer = await infer(served)
    assert answer.status == 500
    assert "ValueError: no such digit" in answer.json["error"]
    assert answer.json["error_id"]


async def test_batches_take_tensors_too() -> None:
    name = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"]}
    BATCHES.clear()
    GATE.set()
    async with serving("shout", batch_size=4) as served:
        assert (await infer(served, name)).json["outputs"][0]["data"] == ["A"]
    GATE.clear()


@pytest.mark.parametrize(
    ("datatype", "values"),
    [("BOOL", [True, False]), ("INT32", [-1, 2]), ("INT64", [2**40]), ("FP32", [0.5]), ("BYTES", ["ü", ""])],
)
def test_elements_survive_the_binary_form(datatype: str, values: list[Any]) -> None:
    content = pack_elements(datatype, values)
    x = {"name": "x", "datatype": datatype, "shape": [len(values)], "parameters": {"binary_data_size": len(content)}}
    header = json.dumps({"inputs": [x]}).encode()
    assert InferRequest("m").parse_request(header + content, len(header), Schema()).items[0]["data"] == values


def test_a_header_longer_than_the_body_is_refused() -> None:
    with pytest.raises(Malformed):
        InferRequest("m").parse_request(b"{}", 3, Schema())


def test_items_of_all_kinds_are_tensors() -> None:
    assert to_tensor({"name": "y", "datatype": "dict", "data": {"a": 1}}) == ("BYTES", [1], ['{"a":1}'])
    assert to_tensor({"name": "y", "datatype": "FP64", "data": [1.0, 2.0], "shape": 2}) == ("FP64", [2], [1.0, 2.0])
    pair = {"name": "y", "datatype": "str", "data": ["a", "b"], "shape": [1, 2]}
    assert to_tensor(pair) == (
        "BYTES",
        [1, 2],
        ["a", "b"],
    )


def test_an_array_takes_the_bytes_as_they_came() -> None:
    kind = resolve_type(numpy.ndarray)
    content = numpy.arange(6, dtype="<u2").tobytes()
    array = kind.convert({"name": "x", "datatype": "INT32", "data": BinaryElements(content, "<H"), "shape": [2, 3]})
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert array.dtype == numpy.int32


async def test_an_unmodified_client_is_served() -> None:
    python = environment("tritonclient", "tritonclient[http]==2.73.0")
    async with serving("mean", component="mean") as served:
        done = await asyncio.to_thread(
            subprocess.run,
            [str(python), str(CLIENT), f"127.0.0.1:{served.port}"],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
