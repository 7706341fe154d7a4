"""Errors whose answers need a header of their own."""

from __future__ import annotations

from typing import ClassVar

from libs.common.errors import MeshError, MethodNotAllowed, NotFound, Unauthorized, UnknownEncoding, headers


class NoCredentials(Unauthorized):
    """No credentials, or ones that are not valid here."""

    challenge: ClassVar[str] = "Bearer"


class NotACaller(Unauthorized):
    """No credentials, or ones that are not valid for this app."""

    def __init__(self, ns: str, *, basic: bool = True) -> None:
        """`basic`: a password may be right here; a browser asks for one only then."""
        super().__init__()
        self.ns = ns
        self.scheme = "Basic" if basic else "Bearer"


class NothingLive(NotFound):
    """No app of this name is live here; of one that waits or failed the owner is told why elsewhere."""

    def __init__(self, ns: str) -> None:
        super().__init__(f'there is no app "{ns}" that is live; what keeps one says: mlmesh app show {ns}')


class AnotherKind(NotFound):
    """The API is something else than what this address is for."""

    def __init__(self, ns: str, path: str, target: str) -> None:
        what = "a pipeline; start it" if target == "pipeline" else "a function; call it"
        way, command = ("runs", "run start") if target == "pipeline" else ("predict", "predict")
        super().__init__(f'"{path}" of {ns} is {what} with POST /{ns}/{path}/{way}, or: mlmesh {command} {ns} {path}')


class WrongMethod(MethodNotAllowed):
    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(f"this address knows {', '.join(allowed)}")
        self.allowed = allowed


def headers_of(error: MeshError) -> dict[str, str]:
    found = headers(error)
    match error:
        case NoCredentials():
            found["WWW-Authenticate"] = error.challenge
        case NotACaller():
            found["WWW-Authenticate"] = f'{error.scheme} realm="{error.ns}"'
        case UnknownEncoding():
            found["Accept-Encoding"] = "gzip, deflate"
        case WrongMethod():
            found["Allow"] = ", ".join(error.allowed)
    return found
