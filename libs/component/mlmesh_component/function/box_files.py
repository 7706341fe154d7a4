"""The files of a call: those of its inputs are fetched to a local path, those of its outputs stored in a box.

Talks only to the platform's file routes, with the grant that came with the call. Never holds a key of the store.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import urllib.parse
from typing import Any

from ..problems import CutShort, Forbidden, TooLarge, Unavailable, WrongOutput, invalid
from .box_paths import Boxes, NameFault, Place, free_path, name_of, place, result_group
from .context import Context
from .items import Item, is_file
from .output_files import returned_file

SOCKET_TIMEOUT_SECONDS = 30.0
BLOCK_BYTES = 1024 * 1024
TRY_AGAIN = (408, 425, 429)
"""Refusals that say nothing against the file."""


class BoxFiles:
    """Files in the connected boxes, in the area of the caller."""

    def __init__(self, url: str, namespace: str, boxes: Boxes) -> None:
        self._url = urllib.parse.urlsplit(url)
        self._namespace = namespace
        self._boxes = boxes

    def fetch(self, items: list[Item], context: Context) -> list[Item]:
        """The items with local paths in place of names, in the folder of the call."""
        places = [self._place(item) for item in items]
        return [
            item if at is None else {**item, "data": self._download(item["name"], index, at, context)}
            for index, (item, at) in enumerate(zip(items, places))
        ]

    def _place(self, item: Item) -> Place | None:
        if not is_file(item):
            return None
        try:
            return place(item["data"], self._boxes)
        except NameFault as error:
            raise invalid(item["name"], str(error)) from error

    def store(self, outputs: list[Item], context: Context) -> list[Item]:
        """The items with names in place of local paths, stored in the default box."""
        found = [(item, self._target_of(item, context) if is_file(item) else None) for item in outputs]
        return [item if target is None else self._stored(item, *target, context) for item, target in found]

    def _target_of(self, item: Item, context: Context) -> tuple[str, Place]:
        """Its local path, and where it goes. All are looked at before the first is stored."""
        path, box = returned_file(item, context), self._boxes.default
        if box is None:
            raise WrongOutput(f"The function's output {item['name']!r} is a file, but no box is connected.")
        at = Place(box, free_path(result_group(context.request_id), os.path.basename(path), context.stored))
        context.stored.add(at.path)
        return path, at

    def _stored(self, item: Item, path: str, at: Place, context: Context) -> Item:
        self._upload(item["name"], path, at, context)
        return {**item, "data": name_of(at, self._boxes)}

    def _download(self, name: str, index: int, at: Place, context: Context) -> str:
        folder = context.folder / str(index)
        folder.mkdir()
        path = folder / at.path.rpartition("/")[2]
        try:
            with _Exchange(self._connect(context)) as exchange:
                answer = exchange.ask("GET", self._target(at, "download=1"), _headers(context))
                _check_fetched(name, at, answer)
                with open(path, "wb") as file:
                    shutil.copyfileobj(answer, file, BLOCK_BYTES)
                _check_complete(answer, os.path.getsize(path))
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"The file of input {name!r} cannot be fetched: {_told(error)}.") from error
        return str(path)

    def _upload(self, name: str, path: str, at: Place, context: Context) -> None:
        size = os.path.getsize(path)
        query = "overwrite=true" if size else "overwrite=true&upload=1"
        headers = {**_headers(context), "Content-Length": str(size), "Content-Type": "application/octet-stream"}
        try:
            with _Exchange(self._connect(context)) as exchange, open(path, "rb") as file:
                _check_stored(name, at, exchange.ask("PUT", self._target(at, query), headers, file))
        except (OSError, http.client.HTTPException) as error:
            raise CutShort(f"{_result(name, at)} cannot be stored: {_told(error)}.") from error

    def _target(self, at: Place, query: str) -> str:
        segments = [self._namespace, "files", at.box, *at.path.split("/")]
        return (
            self._url.path.rstrip("/")
            + "/"
            + "/".join(urllib.parse.quote(one, safe="") for one in segments)
            + f"?{query}"
        )

    def _connect(self, context: Context) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        timeout = max(0.1, min(SOCKET_TIMEOUT_SECONDS, context.remaining))
        return kind(self._url.hostname or "", self._url.port, timeout=timeout, blocksize=BLOCK_BYTES)


class _Exchange:
    """One request and its answer; the connection is closed behind them."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection

    def __enter__(self) -> _Exchange:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, method: str, target: str, headers: Any, body: Any = None) -> http.client.HTTPResponse:
        try:
            self._connection.request(method, target, body=body, headers=headers)
        except (BrokenPipeError, ConnectionResetError):
            # refused before all of the body was sent: the reason may have arrived all the same
            if self._connection.sock is None:
                raise
        return self._connection.getresponse()


def _headers(context: Context) -> Any:
    found = {"X-Request-ID": context.request_id, "Accept": "application/octet-stream"}
    if context.grant:
        found["X-Mlmesh-Grant"] = context.grant
    if context.traceparent:
        found["traceparent"] = context.traceparent
    return found


def _check_fetched(name: str, at: Place, answer: http.client.HTTPResponse) -> None:
    if answer.status == 200:
        return
    if answer.status in (404, 410):
        raise invalid(name, f"there is no file {at.path} in box {at.box}")
    if answer.status in (400, 422):
        raise invalid(name, f"{at.path} in box {at.box} is refused as the name of a file")
    if answer.status in (401, 403):
        raise Forbidden(f"The caller may not read files of box {at.box} (input {name!r}).")
    raise Unavailable(f"The file of input {name!r} cannot be fetched: the answer was {answer.status}.")


def _check_complete(answer: http.client.HTTPResponse, size: int) -> None:
    expected = answer.getheader("Content-Length")
    if expected is not None and int(expected) != size:
        raise http.client.IncompleteRead(b"", int(expected) - size)


def _check_stored(name: str, at: Place, answer: http.client.HTTPResponse) -> None:
    said = answer.read(BLOCK_BYTES)
    if answer.status in (200, 201, 204):
        return
    if answer.status == 413:
        raise TooLarge(f"{_result(name, at)} does not fit into box {at.box}.")
    if answer.status in (401, 403):
        raise Forbidden(f"The caller may not write files of box {at.box}.")
    if 400 <= answer.status < 500 and answer.status not in TRY_AGAIN:
        raise WrongOutput(f"{_result(name, at)} is refused by box {at.box}: {_detail(said) or answer.status}.")
    raise CutShort(f"{_result(name, at)} cannot be stored: the answer was {answer.status}.")


def _result(name: str, at: Place) -> str:
    return f"The function's output {name!r}, {at.path},"


def _detail(document: bytes) -> str | None:
    """What a problem document says."""
    try:
        found = json.loads(document)["detail"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


def _told(error: Exception) -> object:
    """Without the local path that an error of the system may hold."""
    return getattr(error, "strerror", None) or error
