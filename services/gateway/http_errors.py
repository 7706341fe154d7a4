"""Errors whose responses carry a header of their own.

The docstring of a class is its default message, as in `libs.common.errors`.
"""

from __future__ import annotations

from typing import ClassVar

from libs.common.errors import MeshError, MethodNotAllowed, NotFound, Unauthorized, UnknownEncoding, problem_headers


class MissingCredentials(Unauthorized):
    """Missing or invalid credentials."""

    challenge: ClassVar[str] = "Bearer"


class InvalidAppCredentials(Unauthorized):
    """Missing or invalid credentials for this app."""

    def __init__(self, ns: str, *, basic: bool = True) -> None:
        """`basic`: the API accepts passwords; only then the browser asks for one."""
        super().__init__()
        self.ns = ns
        self.scheme = "Basic" if basic else "Bearer"


class NoLiveApp(NotFound):
    """No app of this name is live; `mlmesh app show` tells its owner why."""

    def __init__(self, ns: str) -> None:
        super().__init__(f'no app "{ns}" is live; see why with: mlmesh app show {ns}')


class WrongApiKind(NotFound):
    """The API is a pipeline where a function was called, or the other way round."""

    def __init__(self, ns: str, path: str, target: str) -> None:
        what = "a pipeline; start it" if target == "pipeline" else "a function; call it"
        way, command = ("runs", "run start") if target == "pipeline" else ("predict", "predict")
        super().__init__(f'"{path}" of {ns} is {what} with POST /{ns}/{path}/{way}, or: mlmesh {command} {ns} {path}')


class WrongMethod(MethodNotAllowed):
    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(f"Method not allowed; use {', '.join(allowed)}")
        self.allowed = allowed


def get_error_headers(error: MeshError) -> dict[str, str]:
    fields = problem_headers(error)
    match error:
        case MissingCredentials():
            fields["WWW-Authenticate"] = error.challenge
        case InvalidAppCredentials():
            fields["WWW-Authenticate"] = f'{error.scheme} realm="{error.ns}"'
        case UnknownEncoding():
            fields["Accept-Encoding"] = "gzip, deflate"
        case WrongMethod():
            fields["Allow"] = ", ".join(error.allowed)
    return fields
