"""The Open Inference Protocol, version 2: converts tensors to items and back, with the binary extension. Pure.

The protocol: https://github.com/kserve/open-inference-protocol; the extension: Triton's "Binary Tensor Data".
A binary body is a JSON header, followed by the tensors' elements, little-endian, in the header's order.
"""

from __future__ import annotations

import dataclasses
import math
import struct
from typing import Any

from .. import json_codec
from ..function.items import TENSORS, Item, select_datatype
from ..function.schema import Field, FieldType, Inputs, Schema, validate_request
from ..problems import Invalid, Malformed, WrongOutput
from .oip_tensors import (
    CODES,
    TensorError,
    build_text_item,
    flatten,
    pack_elements,
    parse_shape,
    to_tensor,
    unpack_numbers,
    unpack_texts,
)

VERSION = "1"
EXTENSIONS = ("binary_tensor_data",)
PLATFORM = "mlmesh"
_ANY = FieldType(listed=True)


class InferRequest:
    """One request and the format of its response; `header_length` is set when a binary response is encoded."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._id: str | None = None
        self._binary = False
        self._by_output: dict[str, bool] = {}
        self.header_length: int | None = None

    def parse_request(self, body: bytes, header_length: int | None, schema: Schema) -> Inputs:
        """Parse and validate; raises `Malformed`, or `Invalid` with an entry for each invalid input."""
        document, binary = _split_body(body, header_length) if body or schema.required_inputs else ({}, b"")
        self._parse_output_options(document)
        items = _TensorReader(binary).read_items(document.get("inputs"), schema)
        request = {"inputs": items, "output_fields": list(self._by_output)}
        return dataclasses.replace(validate_request(request, schema), encode_outputs=self.encode_response)

    def _parse_output_options(self, document: Any) -> None:
        if isinstance(document.get("id"), str):
            self._id = document["id"]
        self._binary = _get_parameter(document, "binary_data_output") is True
        outputs = document.get("outputs") or []
        if not isinstance(outputs, list) or not all(isinstance(_get_name(output), str) for output in outputs):
            raise Malformed("outputs must be a list of objects with a name.")
        for output in outputs:
            self._by_output[output["name"]] = _get_parameter(output, "binary_data", self._binary) is True

    def encode_response(self, outputs: list[Item]) -> bytes:
        """Encode the response's body; raises `WrongOutput` with the output that cannot be a tensor."""
        described, blobs = [], []
        for item in outputs:
            text, blob = self._encode_output(item)
            described.append(text)
            if blob is not None:
                blobs.append(blob)
        model_members = {"model_name": self._model, "model_version": VERSION}
        head = json_codec.encode({"id": self._id, **model_members} if self._id is not None else model_members)
        header = b'%s,"outputs":[%s]}' % (head[:-1], b",".join(described))
        self.header_length = len(header) if blobs else None
        return b"".join([header, *blobs])

    def _encode_output(self, item: Item) -> tuple[bytes, bytes | None]:
        """Return the JSON description of the tensor, and its elements if they are binary."""
        name = item["name"]
        try:
            datatype, shape, data = to_tensor(item)
            members = {"name": name, "datatype": datatype, "shape": shape}
            if not self._by_output.get(name, self._binary):
                return json_codec.encode({**members, "data": data}), None
            blob = pack_elements(datatype, data)
            return json_codec.encode({**members, "parameters": {"binary_data_size": len(blob)}}), blob
        except (TypeError, ValueError, OverflowError, struct.error) as error:
            raise WrongOutput(f"The function's output {name!r} cannot be written as a tensor: {error}.") from error


def build_metadata(model: str, schema: Schema) -> dict[str, Any]:
    return {
        "name": model,
        "versions": [VERSION],
        "platform": PLATFORM,
        "inputs": [_tensor_metadata(field) for field in schema.inputs],
        "outputs": [_tensor_metadata(field) for field in schema.outputs],
    }


def _tensor_metadata(field: Field) -> dict[str, Any]:
    datatype = field.type.datatypes[0] if field.type.datatypes else "str"
    numeric = datatype in TENSORS
    return {
        "name": field.name,
        "datatype": datatype if numeric else "BYTES",
        "shape": [-1] if field.type.listed or (numeric and not field.type.scalar) else [1],
    }


# -- requests


def _split_body(body: bytes, header_length: int | None) -> tuple[dict[str, Any], bytes]:
    """Split a body into its JSON header and its binary part."""
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


def _get_parameter(element: Any, name: str, default: Any = None) -> Any:
    parameters = element.get("parameters")
    return parameters.get(name, default) if isinstance(parameters, dict) else default


def _get_name(element: Any) -> Any:
    return element.get("name") if isinstance(element, dict) else None


class _TensorReader:
    """Reads tensors in order, with their elements from JSON or from the binary part."""

    def __init__(self, content: bytes) -> None:
        self._unread = memoryview(content)

    def read_items(self, tensors: Any, schema: Schema) -> list[Item]:
        if tensors is None and not schema.required_inputs:
            tensors = []
        if not isinstance(tensors, list):
            raise Invalid([{"input": "inputs", "message": "must be a list of tensors"}])
        items, errors = [], []
        for index, tensor in enumerate(tensors):
            name = _get_name(tensor)
            if not isinstance(name, str) or not name:
                raise Invalid([{"input": f"inputs[{index}]", "message": "must be a tensor with a name"}])
            try:
                items.append(self._read_item(name, tensor, schema.inputs_by_name.get(name)))
            except TensorError as error:
                errors.append({"input": name, "message": str(error)})
        if len(self._unread):
            errors.append({"input": "inputs", "message": f"{len(self._unread)} bytes belong to no tensor"})
        if errors:
            raise Invalid(errors)
        return items

    def _read_item(self, name: str, tensor: Any, declared: Field | None) -> Item:
        datatype, size = tensor.get("datatype"), _get_parameter(tensor, "binary_data_size")
        content = None if size is None else self._take_bytes(size)
        if datatype != "BYTES" and datatype not in CODES:
            raise TensorError(f"datatype must be BYTES or one of {', '.join(CODES)}, not {datatype!r}")
        shape = parse_shape(tensor.get("shape"))
        field_type = declared.type if declared is not None else _ANY
        data: Any
        if datatype == "BYTES":
            data = (
                flatten(tensor.get("data")) if content is None else unpack_texts(content, keep_binary=field_type.binary)
            )
            return build_text_item(name, data, shape, field_type)
        code, item_datatype = CODES[datatype]
        if content is None:
            data = flatten(tensor.get("data"))
        else:
            data = unpack_numbers(
                content, code, math.prod(shape), keep_binary=field_type.binary and datatype != "UINT64"
            )
        return {
            "name": name,
            "datatype": select_datatype(item_datatype, field_type.datatypes),
            "data": data,
            "shape": shape,
        }

    def _take_bytes(self, size: Any) -> bytes:
        if type(size) is not int or not 0 <= size <= len(self._unread):
            raise TensorError(f"binary_data_size is {size!r}, but {len(self._unread)} bytes are left")
        content, self._unread = self._unread[:size], self._unread[size:]
        return bytes(content)
