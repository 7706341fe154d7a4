"""`/git/{app}.git`: Git's smart HTTP protocol (gitprotocol-http(5)) for the built-in repositories.

Errors are plain text: Git shows a text/plain body to the person who pushes, line by line, and nothing else.
"""

from __future__ import annotations

import re
import zlib
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.types import Receive, Scope, Send

from libs.common.errors import Conflict, Malformed, MeshError, NotFound, Unauthorized, problem_headers
from libs.common.identity import Caller
from libs.common.manifests.fields import Name
from libs.common.manifests.platformapp import RESERVED_NAMESPACES
from services.registry.db import apps
from services.registry.dependencies import Dependencies, DependenciesDep
from services.registry.forges.incoming_delivery import parse_bearer_token
from services.registry.git.repository_url import redact_url
from services.registry.hosting.client_stream import ClientStream
from services.registry.routes.hooks import AUTHORIZATION
from services.registry.secrets.verification import authenticate_token

FETCH, PUSH = "git-upload-pack", "git-receive-pack"
CHALLENGE = {"WWW-Authenticate": 'Basic realm="mlmesh: any user, a token as password"'}
SIGN_IN = "sign in with: mlmesh login URL; and: git config credential.helper '!mlmesh git-credential'\n"
PLAIN_TEXT = {"Content-Type": "text/plain; charset=utf-8"}
NO_CACHE = {"Cache-Control": "no-cache, max-age=0, must-revalidate"}
LFS_MESSAGE = "LFS objects are not stored here; keep large files in a DataBox: mlmesh box put"
PIECE_BYTES = 256 * 1024
MAX_FETCH_BYTES = 16 * 2**20
"""What a client says of the commits that it has."""
MAX_PUSH_BYTES = 300 * 2**20
"""Git itself refuses a pack of 256 MB, with a better sentence."""
PROTOCOL = re.compile(r"[a-z0-9=:._-]{0,100}", re.ASCII)
NAME: TypeAdapter[str] = TypeAdapter(Name)


class PlainTextRoute(APIRoute):
    """Answers every error as plain text."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_as_text(request: Request) -> Response:
            try:
                return await handle(request)
            except MeshError as error:
                headers = {**problem_headers(error), **PLAIN_TEXT}
                headers |= CHALLENGE if isinstance(error, Unauthorized) else {}
                hint = SIGN_IN if isinstance(error, Unauthorized) else ""
                return PlainTextResponse(f"{error.detail}\n{hint}", error.status, headers)

        return handle_as_text


class DuplexResponse(StreamingResponse):
    """Is sent while the body of the request is still read: it must not listen for messages of the client itself."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.stream_response(send)


router = APIRouter(prefix="/git", include_in_schema=False, route_class=PlainTextRoute)


def parse_token(authorization: str) -> str | None:
    """The token of a Bearer header, or the password of a Basic one."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return parse_bearer_token(authorization)
    try:
        return b64decode(value, validate=True).decode().partition(":")[2] or None
    except ValueError:
        return None


async def _get_app(repository: str) -> str:
    """The app of an address such as /git/leaf.git."""
    name = repository.removesuffix(".git")
    try:
        NAME.validate_python(name)
    except ValidationError as error:
        raise NotFound(
            f'"{name}" cannot be the name of an app; use lower-case letters, digits and "-", as in leaf-scan'
        ) from error
    if name in RESERVED_NAMESPACES:
        raise NotFound(f'"{name}" is reserved; choose another name')
    return name


async def _get_caller(request: Request, deps: DependenciesDep) -> Caller:
    token = parse_token(request.headers.get(AUTHORIZATION, ""))
    if token is None:
        raise Unauthorized("give a token as the password, with any user name; mlmesh token create makes one")
    return (await authenticate_token(deps.settings, deps.database, token))[0]


async def _get_protocol(git_protocol: Annotated[str, Header()] = "") -> str:
    return git_protocol if PROTOCOL.fullmatch(git_protocol) else ""


AppDep = Annotated[str, Depends(_get_app)]
GitCaller = Annotated[Caller, Depends(_get_caller)]
ProtocolDep = Annotated[str, Depends(_get_protocol)]


@router.get("/{repository}/info/refs")
async def list_refs(
    app: AppDep, deps: DependenciesDep, caller: GitCaller, protocol: ProtocolDep, service: str = ""
) -> Response:
    if service not in (FETCH, PUSH):
        raise Malformed("this repository speaks Git's smart protocol only; update Git")
    await _authorize(deps, caller, app, service)
    if service == PUSH:
        deps.push_receiver.slots.check_free(app)  # Git shows the text of an error here, and not of the push itself
        await deps.hosted.ensure_repository(app)
    content = await deps.upload_pack.list_refs(app, service, protocol)
    return Response(content, media_type=f"application/x-{service}-advertisement", headers=NO_CACHE)


@router.post(f"/{{repository}}/{FETCH}")
async def fetch(
    app: AppDep, deps: DependenciesDep, caller: GitCaller, protocol: ProtocolDep, request: Request
) -> Response:
    _require_type(request, FETCH)
    await _authorize(deps, caller, app, FETCH)
    deps.upload_pack.slots.check_free(app)
    client = open_stream(request, protocol, MAX_FETCH_BYTES)
    return DuplexResponse(
        deps.upload_pack.send_pack(app, client), media_type=f"application/x-{FETCH}-result", headers=NO_CACHE
    )


@router.post(f"/{{repository}}/{PUSH}")
async def push(
    app: AppDep, deps: DependenciesDep, caller: GitCaller, protocol: ProtocolDep, request: Request
) -> Response:
    _require_type(request, PUSH)
    await _authorize(deps, caller, app, PUSH)
    await deps.hosted.ensure_repository(app)
    client = open_stream(request, protocol, MAX_PUSH_BYTES)
    return DuplexResponse(
        await deps.push_receiver.receive(app, client, caller.title),
        media_type=f"application/x-{PUSH}-result",
        headers=NO_CACHE,
    )


@router.post("/{repository}/info/lfs/objects/batch")
async def refuse_lfs(app: AppDep, caller: GitCaller) -> Response:
    return JSONResponse({"message": LFS_MESSAGE}, 501, media_type="application/vnd.git-lfs+json")


def _require_type(request: Request, service: str) -> None:
    """A page of another site cannot send this type with a password that a browser remembers. Raises Malformed."""
    expected = f"application/x-{service}-request"
    if request.headers.get("content-type") != expected:
        raise Malformed(f"the Content-Type must be {expected}; use a Git client")


async def _authorize(deps: Dependencies, caller: Caller, app: str, service: str) -> None:
    """Raises Forbidden, NotFound for a fetch of nothing, and Conflict when the app is deployed from elsewhere.

    Waits while a former app of the name is removed. Raises AppBeingRemoved.
    """
    caller.require_scope("develop" if service == PUSH else "read", app)
    await deps.app_remover.wait_until_removed(app)
    async with deps.database.read() as conn:
        if service == PUSH and await apps.get(conn, app) is None:
            caller.require_scope("write", app)  # the first push makes the app
        repository = await apps.get_repository(conn, app)
    if repository is not None and repository.url is not None:
        raise Conflict(
            f"{app} is deployed from {redact_url(repository.url)}; push there, or remove the url from its Repository"
        )
    if service == FETCH and not deps.hosted.exists(app):
        raise NotFound(f"there is no repository {app} here; the first push makes it")


def open_stream(request: Request, protocol: str, limit: int) -> ClientStream:
    return ClientStream(read_body(request, limit), protocol, partial(wait_for_disconnect, request))


async def wait_for_disconnect(request: Request) -> None:
    """Returns when the client has left. To be called when the body was read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def read_body(request: Request, limit: int) -> AsyncIterator[bytes]:
    """The body in pieces, unpacked when the client packs it. Raises Malformed, also for more than `limit` bytes."""
    is_packed = request.headers.get("content-encoding", "identity") in ("gzip", "x-gzip")
    size = 0
    async for chunk in unpack(request.stream()) if is_packed else request.stream():
        if (size := size + len(chunk)) > limit:
            raise Malformed(f"the body has more than {limit} bytes")
        yield chunk


async def unpack(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Raises Malformed."""
    unpacker = zlib.decompressobj(wbits=31)
    async for chunk in body:
        packed = chunk
        while packed:
            if unpacker.eof:
                raise Malformed("there is something behind the end of the gzip body")
            try:
                yield unpacker.decompress(packed, PIECE_BYTES)
            except zlib.error as error:
                raise Malformed("the body is not gzip") from error
            packed = unpacker.unconsumed_tail or unpacker.unused_data
