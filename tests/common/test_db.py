from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from libs.common.db import Database


@pytest.mark.parametrize("folder", ["", "missing"])
def test_an_opening_that_is_cancelled_outlives_no_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def slowly(*arguments: Any, **options: Any) -> sqlite3.Connection:
        time.sleep(0.2)
        return connect(*arguments, **options)

    async def abandoned() -> None:
        database = Database(f"sqlite+aiosqlite:///{tmp_path / folder / 'db'}")
        asking = asyncio.create_task(database.ready())
        await asyncio.sleep(0.05)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        await database.close()

    died: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda seen: died.append(seen.exc_value))
    monkeypatch.setattr(sqlite3, "connect", slowly)
    before = set(threading.enumerate())
    asyncio.run(abandoned())
    for thread in set(threading.enumerate()) - before:
        thread.join(2)
        assert not thread.is_alive()
    assert died == []
