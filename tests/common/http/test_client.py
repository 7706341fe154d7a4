"""Calls to other services."""

from __future__ import annotations

import socket

import aiohttp
import pytest

from libs.common.errors import TimedOut, problem_headers
from libs.common.http.client import ServiceClient


async def test_who_called_a_service_that_does_not_answer_in_time_is_told_when_to_ask_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with aiohttp.ClientSession() as session:
            with pytest.raises(TimedOut, match="databox did not respond in time") as refused:
                await ServiceClient(session, "databox", url, "token").get("/slow", timeout=0.05)
    assert problem_headers(refused.value)["Retry-After"] == "1"
