"""Where the runs of an app are for who asks: an owner's token sees all, a caller's API key the caller's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from libs.common.errors import Unauthorized
from services.cli.client import Client, Response, iterate_items, url_path


class RunsClient:
    """The first call finds out which it is."""

    def __init__(self, client: Client, app: str) -> None:
        self.app = app
        self._client = client
        self._root = "/api/v1/apps" + url_path(app, "runs")

    def get(self, *segments: str, **params: Any) -> Any:
        with self.open_response("GET", *segments, params=params) as response:
            return response.json()

    def post(self, *segments: str, **params: Any) -> Any:
        with self.open_response("POST", *segments, params=params) as response:
            return response.json()

    def delete(self, *segments: str, **params: Any) -> None:
        with self.open_response("DELETE", *segments, params=params):
            pass

    def iterate_pages(self, *segments: str) -> Iterator[Any]:
        """Every item of a list, page after page."""
        return iterate_items(self._client.url, lambda cursor: self.get(*segments, cursor=cursor))

    @contextmanager
    def open_response(self, method: str, *segments: str, **options: Any) -> Iterator[Response]:
        """The answer, as `Client.open` has it; no owner's token is tried as a caller's key."""
        tail = url_path(*segments) if segments else ""
        with ExitStack() as stack:
            try:
                response = stack.enter_context(self._client.open_response(method, self._root + tail, **options))
            except Unauthorized:
                self._root = url_path(self.app, "runs")
                response = stack.enter_context(self._client.open_response(method, self._root + tail, **options))
            yield response
