"""Errors whose answers need a header of their own."""

from __future__ import annotations

from typing import ClassVar

from libs.common.errors import MeshError, MethodNotAllowed, NotFound, Unauthorized, UnknownEncoding, problem_headers


class MissingCredentials(Unauthorized):
    """No credentials, or ones that are not valid here."""

    challenge: ClassVar[str] = "Bearer"


class InvalidAppCredentials(Unauthorized):
    """No credentials, or ones that are not valid for this app."""

    def __init__(self, ns: str, *, basic: bool = True) -> None:
        """`basic`: a password may be right here; a browser asks for one only then."""
        super().__init__()
        self.ns = ns
        self.scheme = "Basic" if basic else "Bearer"


class NoLiveApp(NotFound):
    """No app of this name is live here; of one that waits or failed the owner is told why elsewhere."""

    def __init__(self, ns: str) -> None:
        super().__init__(f'there is no app "{ns}" that is live; what keeps one says: mlmesh app show {ns}')


class WrongApiKind(NotFound):
    """The API is something else than what this address is for."""

    def __init__(self, ns: str, path: str, target: str) -> None:
        what = "a pipeline; start it" if target == "pipeline" else "a function; call it"
        way, command = ("runs", "run start") if target == "pipeline" else ("predict", "predict")
        super().__init__(f'"{path}" of {ns} is {what} with POST /{ns}/{path}/{way}, or: mlmesh {command} {ns} {path}')


class WrongMethod(MethodNotAllowed):
    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(f"this address knows {', '.join(allowed)}")
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
