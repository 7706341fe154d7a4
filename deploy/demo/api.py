"""The mesh over HTTP, on one connection that is kept; what is sent can be printed as a curl command."""

from __future__ import annotations

import base64
import http.client
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from deploy.demo.show import Failed, Unanswered

ANSWER_TIMEOUT_S = 90.0
"""Beyond the longest `Prefer: wait`, 60 s: a slow machine answers that late."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Api:
    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._token = token
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=ANSWER_TIMEOUT_S)

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        expect: tuple[int, ...] = (200,),
        headers: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> Answer:
        """`body` is bytes, or sent as JSON; `user` is `name:password` instead of the owner's token."""
        sent = {"Authorization": _basic(user) if user else f"Bearer {self._token}", **(headers or {})}
        if body is not None and not isinstance(body, bytes):
            body, sent = json.dumps(body).encode(), {"Content-Type": "application/json", **sent}
        try:
            self._connection.request(method, path, body, sent)
            response = self._connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Unanswered(f"{method} {path}: the mesh does not answer ({error})") from error
        if answer.status not in expect:
            raise Failed(
                f"{method} {path} was answered with {answer.status}: {answer.body[:500].decode(errors='replace')}"
            )
        return answer

    def get(self, path: str) -> Any:
        return self.send("GET", path).json()

    def close(self) -> None:
        self._connection.close()


def curl(method: str, path: str, body: Any = None, *, user: str | None = None, options: str = "") -> str:
    """The command line that sends the same; $URL and $TOKEN are printed with the addresses."""
    who = f"-u {shlex.quote(user)}" if user else '-H "Authorization: Bearer $TOKEN"'
    data = f" -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(body))}" if body is not None else ""
    verb = "" if method == ("GET" if body is None else "POST") else f"-X {method} "
    return f'curl -s {options + " " if options else ""}{verb}{who}{data} "$URL{path}"'


def _basic(user: str) -> str:
    return "Basic " + base64.b64encode(user.encode()).decode()
