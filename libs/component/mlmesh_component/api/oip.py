"""The Open Inference Protocol, version 2: its tensors as items and back, with the binary extension. Pure.

The protocol: https://github.com/kserve/open-inference-protocol; the extension: Triton's "Binary Tensor Data".
A binary body is a JSON header and behind it the tensors' elements, little-endian, in the header's order.
"""

from __future__ import annotations

import dataclasses
import math
import struct
from typing import Any

from .. import json_codec
from ..function.items import TENSORS, Item, fitting
from ..function.schema import Field, Inputs, Kind, Schema, check
from ..problems import Invalid, Malformed, WrongOutput
from .oip_tensors import CODES, TensorError, flat, numbers, packed, shape_of, tensor, text_item, texts

VERSION = "1"
EXTENSIONS = ("binary_tensor_data",)
PLATFORM = "mlmesh"
_ANY = Kind(listed=True)


class Infer:
    """One request and the form of its answer; `header_length` is known once the answer is encoded, if it is binary."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._id: str | None = None
        self._binary = False
        self._by_output: dict[str, bool] = {}
        self.header_length: int | None = None

    def read(self, body: bytes, header_length: int | None, schema: Schema) -> Inputs:
        """Raises `Malformed`, and `Invalid` with everything that does not fit."""
        document, binary = _parted(body, header_length) if body or schema.required else ({}, b"")
        self._read_wishes(document)
        items = _Binary(binary).items(document.get("inputs"), schema)
        wanted = {"inputs": items, "output_fields": list(self._by_output)}
        return dataclasses.replace(check(wanted, schema), encode=self.encode)

    def _read_wishes(self, document: Any) -> None:
        if isinstance(document.get("id"), str):
            self._id = document["id"]
        self._binary = _parameter(document, "binary_data_output") is True
        outputs = document.get("outputs") or []
        if not isinstance(outputs, list) or not all(isinstance(_name(one), str) for one in outputs):
            raise Malformed("outputs must be a list of objects with a name.")
        for one in outputs:
            self._by_output[one["name"]] = _parameter(one, "binary_data", self._binary) is True

    def encode(self, found: list[Item]) -> bytes:
        """The answer's body; `WrongOutput` names the output that has no form as a tensor."""
        described, blobs = [], []
        for item in found:
            text, blob = self._encoded(item)
            described.append(text)
            if blob is not None:
                blobs.append(blob)
        about = {"model_name": self._model, "model_version": VERSION}
        head = json_codec.encode({"id": self._id, **about} if self._id is not None else about)
        header = b'%s,"outputs":[%s]}' % (head[:-1], b",".join(described))
        self.header_length = len(header) if blobs else None
        return b"".join([header, *blobs])

    def _encoded(self, item: Item) -> tuple[bytes, bytes | None]:
        """Its description, and its elements if they are binary."""
        name = item["name"]
        try:
            datatype, shape, data = tensor(item)
            about = {"name": name, "datatype": datatype, "shape": shape}
            if not self._by_output.get(name, self._binary):
                return json_codec.encode({**about, "data": data}), None
            blob = packed(datatype, data)
            return json_codec.encode({**about, "parameters": {"binary_data_size": len(blob)}}), blob
        except (TypeError, ValueError, OverflowError, struct.error) as error:
            raise WrongOutput(f"The function's output {name!r} cannot be written as a tensor: {error}.") from error


def metadata(model: str, schema: Schema) -> dict[str, Any]:
    return {
        "name": model,
        "versions": [VERSION],
        "platform": PLATFORM,
        "inputs": [_described(one) for one in schema.inputs],
        "outputs": [_described(one) for one in schema.outputs],
    }


def _described(one: Field) -> dict[str, Any]:
    datatype = one.kind.datatypes[0] if one.kind.datatypes else "str"
    numeric = datatype in TENSORS
    return {
        "name": one.name,
        "datatype": datatype if numeric else "BYTES",
        "shape": [-1] if one.kind.listed or (numeric and not one.kind.scalar) else [1],
    }


# -- requests


def _parted(body: bytes, header_length: int | None) -> tuple[dict[str, Any], bytes]:
    """The JSON header and the binary rest."""
    size = len(body) if header_length is None else header_length
    if size > len(body):
        raise Malformed(f"Inference-Header-Content-Length is {size}, but the body has {len(body)} bytes.")
    try:
        document = json_codec.decode(body[:size])
    except ValueError as error:
        raise Malformed(f"The request is not JSON: {error}.") from error
    if not isinstance(document, dict):
        raise Malformed("The request must be an object with inputs.")
    return document, body[size:]


def _parameter(holder: Any, name: str, default: Any = None) -> Any:
    parameters = holder.get("parameters")
    return parameters.get(name, default) if isinstance(parameters, dict) else default


def _name(one: Any) -> Any:
    return one.get("name") if isinstance(one, dict) else None


class _Binary:
    """The elements behind the header, taken in order."""

    def __init__(self, content: bytes) -> None:
        self._content = memoryview(content)

    def items(self, tensors: Any, schema: Schema) -> list[Item]:
        if tensors is None and not schema.required:
            tensors = []
        if not isinstance(tensors, list):
            raise Invalid([{"input": "inputs", "message": "must be a list of tensors"}])
        found, errors = [], []
        for index, one in enumerate(tensors):
            name = _name(one)
            if not isinstance(name, str) or not name:
                raise Invalid([{"input": f"inputs[{index}]", "message": "must be a tensor with a name"}])
            try:
                found.append(self._item(name, one, schema.by_name.get(name)))
            except TensorError as error:
                errors.append({"input": name, "message": str(error)})
        if len(self._content):
            errors.append({"input": "inputs", "message": f"{len(self._content)} bytes belong to no tensor"})
        if errors:
            raise Invalid(errors)
        return found

    def _item(self, name: str, one: Any, declared: Field | None) -> Item:
        datatype, size = one.get("datatype"), _parameter(one, "binary_data_size")
        content = None if size is None else self._take(size)
        if datatype != "BYTES" and datatype not in CODES:
            raise TensorError(f"datatype must be BYTES or one of {', '.join(CODES)}, not {datatype!r}")
        shape = shape_of(one.get("shape"))
        kind = declared.kind if declared is not None else _ANY
        data: Any
        if datatype == "BYTES":
            data = flat(one.get("data")) if content is None else texts(content, keep=kind.packed)
            return text_item(name, data, shape, kind)
        code, own = CODES[datatype]
        if content is None:
            data = flat(one.get("data"))
        else:
            data = numbers(content, code, math.prod(shape), keep=kind.packed and datatype != "UINT64")
        return {"name": name, "datatype": fitting(own, kind.datatypes), "data": data, "shape": shape}

    def _take(self, size: Any) -> bytes:
        if type(size) is not int or not 0 <= size <= len(self._content):
            raise TensorError(f"binary_data_size is {size!r}, but {len(self._content)} bytes are left")
        taken, self._content = self._content[:size], self._content[size:]
        return bytes(taken)
