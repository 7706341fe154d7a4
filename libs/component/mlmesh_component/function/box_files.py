"""The files of a call: downloads those of its inputs to a local path, uploads those of its outputs to a box.

Uses only the platform's file routes, with the grant of the call. Never has credentials of the store.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import urllib.parse
from typing import Any

from ..problems import CallAborted, Forbidden, TooLarge, Unavailable, WrongOutput, invalid_input
from .box_paths import Boxes, BoxPath, InvalidFileName, find_unused_path, format_name, parse_name, result_group
from .context import Context
from .items import Item, is_file_item
from .output_files import get_output_path

SOCKET_TIMEOUT_SECONDS = 30.0
BLOCK_BYTES = 1024 * 1024
RETRYABLE_STATUSES = (408, 425, 429)
"""Responses that do not mean that the file is refused."""


class BoxFiles:
    """Files in the connected boxes, in the caller's folder."""

    def __init__(self, url: str, namespace: str, boxes: Boxes) -> None:
        self._url = urllib.parse.urlsplit(url)
        self._namespace = namespace
        self._boxes = boxes

    def fetch(self, items: list[Item], context: Context) -> list[Item]:
        """Download files into the folder of the call, and replace their names by local paths."""
        places = [self._resolve_path(item) for item in items]
        return [
            item if at is None else {**item, "data": self._download_file(item["name"], index, at, context)}
            for index, (item, at) in enumerate(zip(items, places))
        ]

    def _resolve_path(self, item: Item) -> BoxPath | None:
        if not is_file_item(item):
            return None
        try:
            return parse_name(item["data"], self._boxes)
        except InvalidFileName as error:
            raise invalid_input(item["name"], str(error)) from error

    def store(self, outputs: list[Item], context: Context) -> list[Item]:
        """Upload files to the default box, and replace local paths by names."""
        uploads = [(item, self._plan_upload(item, context) if is_file_item(item) else None) for item in outputs]
        return [item if target is None else self._store_file(item, *target, context) for item, target in uploads]

    def _plan_upload(self, item: Item, context: Context) -> tuple[str, BoxPath]:
        """Return the local path and the target. All files are checked before the first is uploaded."""
        path, box = get_output_path(item, context), self._boxes.default_box
        if box is None:
            raise WrongOutput(f"The function's output {item['name']!r} is a file, but no box is connected.")
        box_path = BoxPath(
            box, find_unused_path(result_group(context.request_id), os.path.basename(path), context.stored_paths)
        )
        context.stored_paths.add(box_path.path)
        return path, box_path

    def _store_file(self, item: Item, path: str, box_path: BoxPath, context: Context) -> Item:
        self._upload_file(item["name"], path, box_path, context)
        return {**item, "data": format_name(box_path, self._boxes)}

    def _download_file(self, name: str, index: int, box_path: BoxPath, context: Context) -> str:
        folder = context.folder / str(index)
        folder.mkdir()
        path = folder / box_path.path.rpartition("/")[2]
        try:
            with _HttpExchange(self._open_connection(context)) as exchange:
                response = exchange.send_request(
                    "GET", self._build_target(box_path, "download=1"), _build_headers(context)
                )
                _check_download(name, box_path, response)
                with open(path, "wb") as file:
                    shutil.copyfileobj(response, file, BLOCK_BYTES)
                _check_complete(response, os.path.getsize(path))
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"The file of input {name!r} cannot be fetched: {_describe_error(error)}.") from error
        return str(path)

    def _upload_file(self, name: str, path: str, box_path: BoxPath, context: Context) -> None:
        size = os.path.getsize(path)
        query = "overwrite=true" if size else "overwrite=true&upload=1"
        headers = {**_build_headers(context), "Content-Length": str(size), "Content-Type": "application/octet-stream"}
        try:
            with _HttpExchange(self._open_connection(context)) as exchange, open(path, "rb") as file:
                _check_upload(
                    name, box_path, exchange.send_request("PUT", self._build_target(box_path, query), headers, file)
                )
        except (OSError, http.client.HTTPException) as error:
            raise CallAborted(
                f"{_describe_output(name, box_path)} cannot be stored: {_describe_error(error)}."
            ) from error

    def _build_target(self, box_path: BoxPath, query: str) -> str:
        segments = [self._namespace, "files", box_path.box, *box_path.path.split("/")]
        return (
            self._url.path.rstrip("/")
            + "/"
            + "/".join(urllib.parse.quote(segment, safe="") for segment in segments)
            + f"?{query}"
        )

    def _open_connection(self, context: Context) -> http.client.HTTPConnection:
        connection_class = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        timeout = max(0.1, min(SOCKET_TIMEOUT_SECONDS, context.remaining))
        return connection_class(self._url.hostname or "", self._url.port, timeout=timeout, blocksize=BLOCK_BYTES)


class _HttpExchange:
    """One request and its response on a connection of their own."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection

    def __enter__(self) -> _HttpExchange:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def send_request(self, method: str, target: str, headers: Any, body: Any = None) -> http.client.HTTPResponse:
        try:
            self._connection.request(method, target, body=body, headers=headers)
        except (BrokenPipeError, ConnectionResetError):
            # refused before the whole body was sent: the response may have arrived nevertheless
            if self._connection.sock is None:
                raise
        return self._connection.getresponse()


def _build_headers(context: Context) -> Any:
    headers = {"X-Request-ID": context.request_id, "Accept": "application/octet-stream"}
    if context.grant:
        headers["X-Mlmesh-Grant"] = context.grant
    if context.traceparent:
        headers["traceparent"] = context.traceparent
    return headers


def _check_download(name: str, box_path: BoxPath, response: http.client.HTTPResponse) -> None:
    if response.status == 200:
        return
    if response.status in (404, 410):
        raise invalid_input(name, f"there is no file {box_path.path} in box {box_path.box}")
    if response.status in (400, 422):
        raise invalid_input(name, f"{box_path.path} in box {box_path.box} is refused as the name of a file")
    if response.status in (401, 403):
        raise Forbidden(f"The caller may not read files of box {box_path.box} (input {name!r}).")
    raise Unavailable(f"The file of input {name!r} cannot be fetched: the gateway responded with {response.status}.")


def _check_complete(response: http.client.HTTPResponse, size: int) -> None:
    expected = response.getheader("Content-Length")
    if expected is not None and int(expected) != size:
        raise http.client.IncompleteRead(b"", int(expected) - size)


def _check_upload(name: str, box_path: BoxPath, response: http.client.HTTPResponse) -> None:
    document = response.read(BLOCK_BYTES)
    if response.status in (200, 201, 204):
        return
    if response.status == 413:
        raise TooLarge(f"{_describe_output(name, box_path)} does not fit into box {box_path.box}.")
    if response.status in (401, 403):
        raise Forbidden(f"The caller may not write files of box {box_path.box}.")
    if 400 <= response.status < 500 and response.status not in RETRYABLE_STATUSES:
        reason = _parse_detail(document) or response.status
        raise WrongOutput(f"{_describe_output(name, box_path)} is refused by box {box_path.box}: {reason}.")
    raise CallAborted(
        f"{_describe_output(name, box_path)} cannot be stored: the gateway responded with {response.status}."
    )


def _describe_output(name: str, box_path: BoxPath) -> str:
    return f"The function's output {name!r}, {box_path.path},"


def _parse_detail(document: bytes) -> str | None:
    """The `detail` of a problem document."""
    try:
        detail = json.loads(document)["detail"]
    except (ValueError, KeyError, TypeError):
        return None
    return detail if isinstance(detail, str) else None


def _describe_error(error: Exception) -> object:
    """The error's text, without the local path of an `OSError`."""
    return getattr(error, "strerror", None) or error
