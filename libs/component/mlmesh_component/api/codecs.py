"""The codecs of a call: parse the request's body, build the response; mlmesh's JSON and the Open Inference Protocol."""

from __future__ import annotations

import uuid
from typing import Any, Protocol

from .. import json_codec
from ..function.predictor import Result
from ..function.schema import Inputs, Schema, validate_request
from ..http.framing import ProtocolError, Request
from ..http.response import JSON_TYPE, Response, id_header
from ..http.response_stream import ResponseStream, select_format
from ..problems import PROBLEM_TYPE, Malformed, Problem
from .oip import InferRequest

HEADER_LENGTH = b"inference-header-content-length"


class Codec(Protocol):
    request_id: str

    def parse_request(self, schema: Schema) -> Inputs:
        """Parse and validate the body; raises `Problem`. May run in a thread."""

    def build_response(self, result: Result) -> Response: ...


class JsonCodec:
    """mlmesh's format: `{"inputs": [item]}`, `{"outputs": [item]}`."""

    def __init__(self, request: Request, request_id: str) -> None:
        self._request = request
        self.request_id = request_id

    def parse_request(self, schema: Schema) -> Inputs:
        body = self._request.body
        return validate_request(_parse_json(body) if body or schema.required_inputs else {}, schema)

    def build_response(self, result: Result) -> Response:
        if isinstance(result, Problem):
            return problem_response(result, self.request_id)
        if isinstance(result, ResponseStream):
            result.format = select_format(self._request.headers.get(b"accept", b""), self.request_id)
            return Response(200, b"", result.format.content_type, id_header(self.request_id), result)
        return Response(200, result, JSON_TYPE, id_header(self.request_id))


class OipCodec:
    """The format of the Open Inference Protocol."""

    def __init__(self, request: Request, request_id: str, model: str) -> None:
        self._request = request
        self._infer = InferRequest(model)
        self.request_id = request_id

    def parse_request(self, schema: Schema) -> Inputs:
        return self._infer.parse_request(self._request.body, self._parse_header_length(), schema)

    def _parse_header_length(self) -> int | None:
        header = self._request.headers.get(HEADER_LENGTH)
        if header is not None and not header.isdigit():
            raise Malformed("Inference-Header-Content-Length is not a number.")
        return int(header) if header is not None else None

    def build_response(self, result: Result) -> Response:
        if isinstance(result, Problem):
            return oip_error_response(result, self.request_id)
        if isinstance(result, ResponseStream):
            result.close()
            return oip_error_response(
                Malformed("This model streams its response; use the predict route."), self.request_id
            )
        length = self._infer.header_length
        if length is None:
            return Response(200, result, JSON_TYPE, id_header(self.request_id))
        headers = (*id_header(self.request_id), (HEADER_LENGTH, b"%d" % length))
        return Response(200, result, b"application/octet-stream", headers)


def problem_response(problem: Problem, request_id: str) -> Response:
    body = json_codec.encode_with_escapes(problem.to_json(request_id))
    return Response(problem.status, body, PROBLEM_TYPE, id_header(request_id) + problem.build_headers())


def protocol_error_response(error: ProtocolError) -> Response:
    """The response to bytes that are not a valid request."""
    problem = Problem(error.detail)
    problem.status = error.status
    return problem_response(problem, uuid.uuid4().hex)


def oip_error_response(problem: Problem, request_id: str) -> Response:
    """An error in the format of the Open Inference Protocol, with the ids that an operator needs to find it."""
    document = {**problem.members, "error": problem.detail, "request_id": request_id}
    if raised := problem.members.get("error"):
        document["error"] = f"{problem.detail} {raised}"
    body = json_codec.encode_with_escapes(document)
    return Response(problem.status, body, JSON_TYPE, id_header(request_id) + problem.build_headers())


def _parse_json(body: bytes) -> Any:
    try:
        return json_codec.decode(body)
    except ValueError as error:
        raise Malformed(f"The body is not JSON: {error}.") from error
