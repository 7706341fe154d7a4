"""The shapes of JSON responses, for mypy and for the OpenAPI documents; nothing is validated against them at run time.

A class `RunJson` is the schema `Run` of the document, and the docstrings below its keys describe them.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, NotRequired, TypeVar

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

Shape = TypeVar("Shape")
Item = TypeVar("Item")
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-01-31T12:00:00.000Z"])]
"""ISO 8601 in UTC."""
JsonObject = dict[str, Any]
AppName = Annotated[str, Field(examples=["texts"])]
Commit = Annotated[str, Field(examples=["6f1c2b7d9a8e4f3021c5b6a7d8e9f0a1b2c3d4e5"])]
Cursor = Annotated[str, Field(examples=["WyJ0ZXh0cyIsIDQyXQ.c2lnbmF0dXJl"])]


def response_shape(shape: type[Shape]) -> type[Shape]:
    """Decorator of a TypedDict."""
    shape.__name__ = shape.__qualname__ = shape.__name__.removesuffix("Json")
    return with_config(ConfigDict(use_attribute_docstrings=True))(shape)


@response_shape
class Page(TypedDict, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    next: Cursor | None
    """The `cursor` of the next page; null on the last one."""


@response_shape
class ReasonJson(TypedDict):
    """Why something is as it is."""

    code: Annotated[str, Field(examples=["image_pull"])]
    """For programs."""
    detail: Annotated[str | None, Field(examples=["python:3.12"])]
    """For people; may be empty."""


@response_shape
class Problem(TypedDict):
    """A problem document (RFC 9457). Some problems have further members, such as the figures of a full box."""

    type: str
    title: str
    status: int
    detail: str
    """What is wrong, and what to do."""
    request_id: str
    retryable: NotRequired[bool]
    """Whether the same request may succeed later; a component's own problems do not say."""
    errors: NotRequired[list[JsonObject]]
    """One entry for each invalid field, input or line of a manifest."""
    reason: NotRequired[ReasonJson]
    error_id: NotRequired[str]
    """Finds the exception in the component's log."""
