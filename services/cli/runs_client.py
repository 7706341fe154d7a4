"""Where the runs of an app are for who asks: an owner's token sees all, a caller's API key the caller's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from libs.common.errors import Unauthorized
from services.cli.client import Answer, Client, each_item, path


class Runs:
    """The first call finds out which it is."""

    def __init__(self, client: Client, app: str) -> None:
        self.app = app
        self._client = client
        self._root = "/api/v1/apps" + path(app, "runs")

    def get(self, *rest: str, **params: Any) -> Any:
        with self.open("GET", *rest, params=params) as answer:
            return answer.json()

    def post(self, *rest: str, **params: Any) -> Any:
        with self.open("POST", *rest, params=params) as answer:
            return answer.json()

    def delete(self, *rest: str, **params: Any) -> None:
        with self.open("DELETE", *rest, params=params):
            pass

    def pages(self, *rest: str) -> Iterator[Any]:
        """Every item of a list, page after page."""
        return each_item(self._client.url, lambda cursor: self.get(*rest, cursor=cursor))

    @contextmanager
    def open(self, method: str, *rest: str, **more: Any) -> Iterator[Answer]:
        """The answer, as `Client.open` has it; no owner's token is tried as a caller's key."""
        tail = path(*rest) if rest else ""
        with ExitStack() as stack:
            try:
                answer = stack.enter_context(self._client.open(method, self._root + tail, **more))
            except Unauthorized:
                self._root = path(self.app, "runs")
                answer = stack.enter_context(self._client.open(method, self._root + tail, **more))
            yield answer
