"""Client of an app's runs: an owner's token reads all runs, a caller's API key the caller's runs, at another path."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from libs.common.errors import Unauthorized
from services.cli.client import Client, Response, iterate_items, url_path


class RunsClient:
    """The first call finds out which kind of credential it has."""

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
        """All items of a paginated list."""
        return iterate_items(self._client.url, lambda cursor: self.get(*segments, cursor=cursor))

    @contextmanager
    def open_response(self, method: str, *segments: str, **options: Any) -> Iterator[Response]:
        """The response, as of `Client.open_response`. After a 401 on the owner's path the caller's path is used."""
        tail = url_path(*segments) if segments else ""
        with ExitStack() as stack:
            try:
                response = stack.enter_context(self._client.open_response(method, self._root + tail, **options))
            except Unauthorized:
                self._root = url_path(self.app, "runs")
                response = stack.enter_context(self._client.open_response(method, self._root + tail, **options))
            yield response
