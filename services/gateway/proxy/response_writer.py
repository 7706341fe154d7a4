"""Writes the response to one request: the gateway's own, or the upstream's as a stream."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.types import Send

from libs.common.errors import MeshError, problem_document
from libs.common.http.uvicorn.request_cycle import RESPONSE_BODY_FOLLOWS
from services.gateway.http_errors import get_error_headers
from services.gateway.proxy.cookies import limit_cookie
from services.gateway.proxy.request import HOP_BY_HOP, INTERNAL_PREFIX, Request
from services.gateway.proxy.tunnel import UPGRADE_HEADERS
from services.gateway.proxy.upstream_connection import Headers, UpstreamConnection

BATCH_SIZE_HEADER = b"x-mlmesh-batch"
CORS_PREFIX = b"access-control-"
HTML_CONTENT_TYPE = "text/html; charset=utf-8"
NO_QUEUE_TIME = b"queue;dur=0.0"
SERVER_TIMING = b"server-timing"
NOT_STARTED_HEADER = b"x-mlmesh-not-started"
HEADERS_NOT_FORWARDED = HOP_BY_HOP | {b"date", b"server", b"x-request-id", NOT_STARTED_HEADER}
SANDBOX = (b"content-security-policy", b"sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads")
"""A page with this policy has no cookies, no storage, no saved passwords, and no access to other pages."""
OWN_HOST_HEADERS = frozenset({b"service-worker-allowed", b"nel", b"report-to", b"reporting-endpoints", b"alt-svc"})
"""Only on a host of its own: elsewhere a browser would report requests of other modules to it, too."""
HOST_HEADERS = OWN_HOST_HEADERS | {b"clear-site-data", b"strict-transport-security", b"set-cookie"}
"""Headers of a module that concern the whole host, which it may share with others."""


class ResponseWriter:
    __slots__ = (
        "_request_id_header",
        "_send",
        "_timings",
        "batch_size",
        "bytes_sent",
        "cookie_folder",
        "cors_headers",
        "is_sandboxed",
        "oip_errors",
        "queue_seconds",
        "status",
    )

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id_header = (b"x-request-id", request_id.encode())
        self.status = 0
        """0 before the response has started."""
        self.oip_errors = False
        """Errors have the form of the Open Inference Protocol."""
        self.cors_headers: Headers = []
        """Added to every response; the upstream's own CORS headers are dropped then."""
        self.is_sandboxed = False
        """Browsers show it as a page of no origin."""
        self.cookie_folder: bytes | None = None
        """The folder to which cookies of the upstream are limited, as in `/texts`; None: the host is its own."""
        self.bytes_sent = 0
        """Bytes of the response body."""
        self.queue_seconds = 0.0
        """Seconds in the instance's queue, from its Server-Timing."""
        self.batch_size = 0
        """Calls in the instance's batch; 0 without batching."""
        self._timings: list[bytes] = []

    def add_timing(self, metric: bytes, seconds: float) -> None:
        """Add a metric to `Server-Timing`; without effect after the response has started."""
        self._timings.append(b"%b;dur=%.1f" % (metric, seconds * 1000))

    async def stream_upstream(self, upstream: UpstreamConnection, *, is_internal: bool) -> None:
        """Stream the upstream's response. Internal headers pass only from services of the mesh (`is_internal`)."""
        headers, has_cors = [], bool(self.cors_headers)
        for header in upstream.headers:
            if header[0] == SERVER_TIMING:
                self._timings.append(header[1])
                self.queue_seconds = _parse_queue_seconds(header[1])
            elif header[0] == BATCH_SIZE_HEADER:
                self.batch_size = int(_parse_number(header[1]))
            elif has_cors and header[0].startswith(CORS_PREFIX):
                continue
            elif header[0] in HOST_HEADERS and not is_internal:
                headers.extend(self._limit_host_header(header))
            elif header[0] not in HEADERS_NOT_FORWARDED and (is_internal or not header[0].startswith(INTERNAL_PREFIX)):
                headers.append(header)
        await self._send_start(upstream.status, headers, body_follows=upstream.has_data)
        has_more = True
        while has_more:
            piece = await upstream.read_chunk()
            has_more = not upstream.is_exhausted
            self.bytes_sent += len(piece)
            await self._send({"type": "http.response.body", "body": piece, "more_body": has_more})

    async def send(self, status: int, content: bytes, fields: Mapping[str, str]) -> None:
        encoded = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in fields.items()]
        self.bytes_sent = len(content)
        headers = [*encoded, (b"content-length", str(len(content)).encode())]
        await self._send_start(status, headers, body_follows=True)
        await self._send({"type": "http.response.body", "body": content, "more_body": False})

    async def send_json(self, document: Any, status: int = 200) -> None:
        await self.send(status, orjson.dumps(document), {"Content-Type": "application/json"})

    async def send_preflight(self, headers: Headers) -> None:
        """Accept a CORS preflight request."""
        await self._send_start(204, headers, body_follows=True)
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def send_html(self, html: str) -> None:
        await self.send(200, html.encode(), {"Content-Type": HTML_CONTENT_TYPE})

    async def redirect_to(self, location: str) -> None:
        """Redirect a browser with 303."""
        await self.send(303, b"", {"Location": location})

    async def send_error_page(self, error: MeshError, page: str) -> None:
        """Send an error as an HTML page."""
        await self.send(error.status, page.encode(), {**get_error_headers(error), "Content-Type": HTML_CONTENT_TYPE})

    async def redirect_to_directory(self, request: Request) -> None:
        """Redirect to the same path with a slash at its end; relative, because a proxy may add a prefix."""
        location = request.raw_path.rpartition("/")[2] + "/"
        await self.send(307, b"", {"Location": request.build_target(location).decode("latin-1")})

    async def send_error(self, error: MeshError) -> None:
        document, headers = problem_document(error, self._request_id_header[1].decode()), get_error_headers(error)
        if self.oip_errors:
            document = {"error": document["detail"], **document}
            headers["Content-Type"] = "application/json"
        await self.send(error.status, orjson.dumps(document), headers)

    def encode_upgrade_head(self, upstream: UpstreamConnection) -> bytes:
        """The head of the response 101, after which the connection is a tunnel."""
        self.status = upstream.status
        upstream_headers = upstream.headers
        forwarded = [
            limited
            for header in upstream_headers
            if header[0] not in HEADERS_NOT_FORWARDED and not header[0].startswith(INTERNAL_PREFIX)
            for limited in (self._limit_host_header(header) if header[0] in HOST_HEADERS else [header])
        ]
        return b"".join(
            [
                b"HTTP/1.1 101 Switching Protocols\r\n",
                *[b"%b: %b\r\n" % header for header in (*forwarded, *UPGRADE_HEADERS, self._request_id_header)],
                b"\r\n",
            ]
        )

    def _limit_host_header(self, header: tuple[bytes, bytes]) -> Headers:
        if header[0] == b"set-cookie" and (cookie := limit_cookie(header[1], self.cookie_folder)) is not None:
            return [(header[0], cookie)]
        return [header] if header[0] in OWN_HOST_HEADERS and self.cookie_folder is None else []

    async def _send_start(self, status: int, headers: Headers, *, body_follows: bool) -> None:
        self.status = status
        headers.append(self._request_id_header)
        if self.cors_headers:
            headers.extend(self.cors_headers)
        if self.is_sandboxed:
            headers.append(SANDBOX)
        if self._timings:
            headers.append((SERVER_TIMING, b", ".join(self._timings)))
        message = {"type": "http.response.start", "status": status, "headers": headers}
        if body_follows:
            message[RESPONSE_BODY_FOLLOWS] = True
        await self._send(message)


def _parse_queue_seconds(timing: bytes) -> float:
    name, _, milliseconds = timing.partition(b";dur=")
    return _parse_number(milliseconds) / 1000 if timing != NO_QUEUE_TIME and name == b"queue" else 0.0


def _parse_number(text: bytes) -> float:
    """A number from an instance's header; 0 when it is negative, infinite or malformed."""
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return number if 0.0 <= number < math.inf else 0.0
