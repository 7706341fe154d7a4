"""Operations that the gateway itself serves, for the OpenAPI document of the platform. Pure.

Those that it forwards are in the documents of the services.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from libs.common.http.api_document import EVENT_SCHEMA, Document, describe_type
from services.gateway.pages.gateway_shapes import (
    InferenceErrorJson,
    InferenceJson,
    InferenceLiveJson,
    InferenceModelJson,
    InferenceModelReadyJson,
    InferenceReadyJson,
    InferenceRequestJson,
    InferenceServerJson,
    LivenessJson,
    PredictionJson,
    PredictRequestJson,
    ReadinessJson,
)
from services.gateway.routing.paths import Kind

STREAM_CONTENT: Document = {
    "text/event-stream": {"schema": EVENT_SCHEMA},
    "application/x-ndjson": {"schema": {"type": "object"}},
}
JSON, HTML, TEXT = "application/json", "text/html", "text/plain"


@dataclass(frozen=True)
class GatewayOperation:
    """One method and path that the gateway serves itself, or that it passes on to a component."""

    kind: Kind | Literal["home"]
    """Of the route; `home` for pages that only browsers get."""
    method: str
    path: str
    summary: str
    returns: Any = None
    """The type of a JSON response."""
    media_type: str = JSON
    is_stream: bool = False
    """Whether a function that yields sends what it returns in pieces."""
    takes: Any = None
    """The type of the JSON body."""
    description: str = ""
    headers: tuple[Document, ...] = ()
    other_statuses: Mapping[str, str] | None = None

    @property
    def operation_id(self) -> str:
        return self.summary.lower().replace("'s", "").replace(" ", "_")

    def to_json(self) -> Document:
        schema = {"type": "string"} if self.returns is None else describe_type(self.returns)[0]
        content = {self.media_type: {"schema": schema}, **(STREAM_CONTENT if self.is_stream else {})}
        statuses = {"200": "OK", **(self.other_statuses or {})}
        responses: Document = {
            status: {"description": description, **({} if status.startswith("3") else {"content": content})}
            for status, description in statuses.items()
        }
        if self.kind == "v2":
            error = {"content": {JSON: {"schema": describe_type(InferenceErrorJson)[0]}}}
            responses |= {"4XX": {"description": "The request is refused", **error}}
            responses |= {"5XX": {"description": "It failed", **error}}
        operation: Document = {
            "tags": ["inference protocol" if self.kind == "v2" else "functions" if self.takes else "platform"],
            "summary": self.summary,
            "operationId": self.operation_id,
            "parameters": [*self.headers],
            "responses": responses,
        }
        if self.description:
            operation["description"] = self.description
        if self.takes is not None:
            body = {JSON: {"schema": describe_type(self.takes)[0]}}
            operation["requestBody"] = {"required": True, "content": body}
        return operation


def _describe_header(name: str, description: str, example: str) -> Document:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}, "example": example}


V2 = "/{ns}/v2"
MODEL = f"{V2}/models/{{name}}"
OPERATIONS = (
    GatewayOperation("home", "get", "/", "Show what runs here", media_type=HTML),
    GatewayOperation("home", "get", "/{ns}", "Show an app to a browser", media_type=HTML),
    GatewayOperation(
        "web_app",
        "get",
        "/{ns}/{path}",
        "Open the page of an API",
        media_type=HTML,
        other_statuses={"303": "The documentation", "307": "The web application"},
    ),
    GatewayOperation("healthz", "get", "/healthz", "Check liveness", LivenessJson),
    GatewayOperation(
        "readyz", "get", "/readyz", "Check readiness", ReadinessJson, other_statuses={"503": "A part is not ready"}
    ),
    GatewayOperation("metrics", "get", "/metrics", "Get metrics", media_type=TEXT, description="For Prometheus."),
    GatewayOperation("docs", "get", "/docs", "Read this document", media_type=HTML),
    GatewayOperation("openapi", "get", "/openapi.json", "Get this document", Document),
    GatewayOperation(
        "predict",
        "post",
        "/{ns}/{path}/predict",
        "Call a function",
        PredictionJson,
        is_stream=True,
        takes=PredictRequestJson,
        headers=(
            _describe_header("Prefer", "`respond-async`: the call becomes a run.", "respond-async"),
            _describe_header("X-Request-Timeout", "Seconds; a shorter deadline.", "10"),
        ),
    ),
    GatewayOperation("describe", "get", "/{ns}/{path}/openapi.json", "Describe an API", Document),
    GatewayOperation("page", "get", "/{ns}/{path}/docs", "Read the documentation of an API", media_type=HTML),
    GatewayOperation("v2", "get", V2, "Get server metadata", InferenceServerJson),
    GatewayOperation("v2", "get", f"{V2}/health/live", "Check server liveness", InferenceLiveJson),
    GatewayOperation("v2", "get", f"{V2}/health/ready", "Check server readiness", InferenceReadyJson),
    GatewayOperation("v2", "get", MODEL, "Get model metadata", InferenceModelJson),
    GatewayOperation("v2", "get", f"{MODEL}/ready", "Check model readiness", InferenceModelReadyJson),
    GatewayOperation("v2", "post", f"{MODEL}/infer", "Call a model", InferenceJson, takes=InferenceRequestJson),
)


def list_gateway_operations() -> Iterator[tuple[str, str, Document]]:
    for operation in OPERATIONS:
        yield operation.method, operation.path, operation.to_json()


def list_gateway_schemas() -> dict[str, Document]:
    schemas = describe_type(InferenceErrorJson)[1]
    for operation in OPERATIONS:
        for described in (operation.returns, operation.takes):
            if described is not None:
                schemas |= describe_type(described)[1]
    return schemas
