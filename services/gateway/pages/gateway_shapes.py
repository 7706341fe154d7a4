"""The JSON that the gateway and components send and take, for the OpenAPI document of the platform."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from libs.common.http.response_shapes import JsonObject, response_shape


@response_shape
class LivenessJson(TypedDict):
    """The gateway is alive."""

    status: Annotated[str, Field(examples=["ok"])]


@response_shape
class ReadyPartJson(TypedDict):
    """One part that the gateway needs."""

    ready: bool
    reason: str | None


@response_shape
class ReadinessJson(TypedDict):
    """Whether the gateway takes requests."""

    ready: bool
    parts: Annotated[dict[str, ReadyPartJson], Field(examples=[{"scheduler": {"ready": True, "reason": None}}])]


@response_shape
class ItemJson(TypedDict):
    """A named value of a function; its data are in the document of the API."""

    name: Annotated[str, Field(examples=["text"])]
    datatype: Annotated[str, Field(examples=["str"])]
    data: Annotated[Any, Field(examples=["Good morning"])]
    shape: NotRequired[list[int]]


@response_shape
class PredictRequestJson(TypedDict):
    """A call of a function."""

    inputs: list[ItemJson]
    output_fields: NotRequired[list[str]]
    """The outputs to return, in this order; without it all of them."""
    parameters: NotRequired[list[ItemJson]]
    model_key: NotRequired[Literal["default"]]


@response_shape
class PredictionJson(TypedDict):
    """What the function returned."""

    outputs: list[ItemJson]


@response_shape
class InferenceServerJson(TypedDict):
    """The server's metadata."""

    name: str
    version: str
    extensions: list[str]


@response_shape
class InferenceLiveJson(TypedDict):
    """Whether the server is alive."""

    live: bool


@response_shape
class InferenceReadyJson(TypedDict):
    """Whether all models are ready."""

    ready: bool


@response_shape
class InferenceModelReadyJson(TypedDict):
    """Whether a model is ready."""

    name: str
    ready: bool


@response_shape
class TensorJson(TypedDict):
    """A tensor; `data` is row-major."""

    name: str
    datatype: Annotated[str, Field(examples=["FP32"])]
    shape: Annotated[list[int], Field(examples=[[1]])]
    data: NotRequired[list[Any]]
    parameters: NotRequired[JsonObject]


@response_shape
class InferenceModelJson(TypedDict):
    """A model's metadata."""

    name: str
    versions: NotRequired[list[str]]
    platform: str
    inputs: list[TensorJson]
    outputs: list[TensorJson]


@response_shape
class InferenceRequestJson(TypedDict):
    """A call of a model."""

    id: NotRequired[str]
    inputs: list[TensorJson]
    outputs: NotRequired[list[JsonObject]]
    parameters: NotRequired[JsonObject]


@response_shape
class InferenceJson(TypedDict):
    """What the model returned."""

    model_name: str
    model_version: NotRequired[str]
    id: NotRequired[str | None]
    outputs: list[TensorJson]


@response_shape
class InferenceErrorJson(TypedDict):
    """An error of the Open Inference Protocol; the gateway's own have the members of a problem, too."""

    error: str
