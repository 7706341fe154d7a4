"""HTTP client of a mesh's public API. Raises its problem documents as errors, and NotReachable without a response."""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from typing import IO, Any
from urllib.parse import quote, urlencode, urlsplit

from libs.common.errors import MeshError, Unauthorized, from_problem
from services.cli.cli_errors import NotReachable, WrongUsage
from services.cli.profile import Profile

READ_TIMEOUT_S = 90.0
"""Longest silence of a mesh; it holds a long poll for at most 60 s."""
PROBE_TIMEOUT_S = 2.0
LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
Body = bytes | Iterable[bytes]


@dataclass(frozen=True)
class Response:
    status: int
    headers: Message
    """Names are case-insensitive."""
    stream: IO[bytes]

    def json(self) -> Any:
        """Parse the body. Raises NotReachable unless it is JSON: then the server is no mesh."""
        content = self.stream.read()
        try:
            return json.loads(content) if content else None
        except ValueError as error:
            raise NotReachable("what answers there is not a mesh: its answer is not JSON") from error


class Client:
    def __init__(self, profile: Profile, token_advice: str | None = None) -> None:
        """`token_advice`: what to do when the mesh does not accept the token."""
        self.url = profile.url
        self._token_advice = token_advice or f"set MLMESH_TOKEN, or type: mlmesh login {profile.url}"
        self.token = profile.token
        self._opener = _create_opener(profile.url)

    def get(self, path: str, **params: Any) -> Any:
        return self.request_json("GET", path, params=params)

    def post(self, path: str, body: Any = None, **params: Any) -> Any:
        return self.request_json("POST", path, body, params=params)

    def put(self, path: str, body: Any = None, **params: Any) -> Any:
        return self.request_json("PUT", path, body, params=params)

    def patch(self, path: str, body: Any = None) -> Any:
        return self.request_json("PATCH", path, body)

    def delete(self, path: str, **params: Any) -> Any:
        return self.request_json("DELETE", path, params=params)

    def request_json(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """Send `body` as JSON; returns the decoded response."""
        headers = {"Accept": "application/json", **options.pop("headers", {})}
        data = None if body is None else _encode_json(body)
        if data is not None:
            headers["Content-Type"] = "application/json"
        with self.open_response(method, path, data, headers=headers, **options) as response:
            return response.json()

    def iterate_pages(self, path: str, **params: Any) -> Iterator[Any]:
        """All items of a paginated list."""
        return iterate_items(self.url, lambda cursor: self.get(path, **params, cursor=cursor))

    @contextmanager
    def open_response(
        self,
        method: str,
        path: str,
        data: Body | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> Iterator[Response]:
        """A response whose body is not read yet. Raises the mesh's error, or NotReachable."""
        request = urllib.request.Request(  # noqa: S310  the profile allows http and https alone
            self.url + path + _query_string(params or {}), data, {**self._identity(), **(headers or {})}, method=method
        )
        try:
            with self._opener.open(request, timeout=READ_TIMEOUT_S) as response:
                yield Response(response.status, response.headers, response)
        except urllib.error.HTTPError as error:
            if error.code == 304:
                yield Response(304, error.headers, error)
            else:
                raise _error_from_response(error, self.url, self._token_advice) from error
        except BrokenPipeError:  # of standard output; one of the connection is a URLError
            raise
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            why = getattr(error, "reason", None) or error
            raise NotReachable(f"no mesh answers at {self.url} ({why}); start one with: mlmesh up") from error

    def _identity(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


def iterate_items(url: str, get_page: Callable[[str | None], Any]) -> Iterator[Any]:
    """All items of a paginated list. Raises NotReachable if the server at `url` returns no list."""
    cursor: str | None = None
    while True:
        page = get_page(cursor)
        if not isinstance(page, dict) or not isinstance(page.get("items"), list):
            raise NotReachable(f"what answers at {url} is not a mesh: its answer is not a list of items")
        yield from page["items"]
        cursor = page.get("next")
        if not cursor:
            return


def is_mesh_running(url: str) -> bool:
    """Whether a mesh responds at `url` now."""
    try:
        with _create_opener(url).open(f"{url}/healthz", timeout=PROBE_TIMEOUT_S) as response:
            return bool(response.status == 200)
    except (OSError, http.client.HTTPException, ValueError):
        return False


def url_path(*segments: str) -> str:
    """`/a/b/c` with each segment quoted, a `/` in it as `%2F`."""
    try:
        return "/" + "/".join(quote(segment, safe="") for segment in segments)
    except UnicodeEncodeError as error:
        raise WrongUsage(f"{error.object!r} is not UTF-8") from error


def _encode_json(body: Any) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise WrongUsage(f"{error.object[max(0, error.start - 20) : error.end]!r} is not UTF-8") from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it could send the token to another host."""

    def redirect_request(self, *_args: Any, **_named: Any) -> None:
        return None


def _create_opener(url: str) -> urllib.request.OpenerDirector:
    proxies: dict[str, str] | None = {} if urlsplit(url).hostname in LOOPBACK else None
    return urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler(proxies))


def _query_string(params: Mapping[str, Any]) -> str:
    pairs = {key: _param_text(value) for key, value in params.items() if value is not None}
    return f"?{urlencode(pairs)}" if pairs else ""


def _param_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _error_from_response(error: urllib.error.HTTPError, url: str, token_advice: str) -> MeshError:
    content = error.read()
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    body = document if isinstance(document, dict) else {"detail": content[:500].decode(errors="replace").strip()}
    detail = str(body.get("detail") or f"{url} answered with status {error.code}")
    hint = _error_hint(error.code, {**body, "detail": detail}, f"this is {url}: {token_advice}")
    mesh_error = from_problem(error.code, {**body, "detail": (detail.removesuffix(".") if hint else detail) + hint})
    mesh_error.retry_after = _parse_seconds(error.headers.get("Retry-After"))
    return mesh_error


def _parse_seconds(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"[0-9]{1,6}", text.strip()) else None


def _error_hint(status: int, body: Mapping[str, Any], token_advice: str) -> str:
    """What to do next: use another token, or the id to search the logs for."""
    if status == Unauthorized.status:
        return f"; {token_advice}"
    if body.get("error_id"):
        named = "" if body["error_id"] in body["detail"] else f" (error id {body['error_id']})"
        return f"{named}; {body['error']}" if body.get("error") else named
    return f" (request {body['request_id']})" if status >= 500 and body.get("request_id") else ""
