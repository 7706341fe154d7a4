"""`python -m mlmesh_component package.module:function`: serve a function, or a web application, until SIGTERM."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import threading
import time
from typing import Any

from .asgi_component import ApplicationComponent
from .component_server import LoadError, serve_until_signal
from .function_component import FunctionComponent
from .http import llhttp
from .settings import Settings, SettingsError, read_settings

EXIT_GRACE_SECONDS = 2.0


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code: 0 after a stop signal, 1 if the target cannot be served, 2 for invalid settings."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr,unused-ignore]
    try:
        settings = read_settings(sys.argv[1:] if arguments is None else arguments, os.environ)
    except SettingsError as error:
        sys.stderr.write(f"mlmesh: {error}\n")
        return 2
    try:
        _run_component(settings)
    except LoadError as error:
        sys.stderr.write(f"mlmesh: cannot serve {settings.target}: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"mlmesh: cannot serve {settings.target}: {type(error).__name__}: {error}\n")
        return 1
    return 0


def _run_component(settings: Settings) -> None:
    loop = _new_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(_serve_component(settings))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


async def _serve_component(settings: Settings) -> None:
    await serve_until_signal(
        ApplicationComponent(settings) if settings.app else FunctionComponent(settings, llhttp.select_parser())
    )


def _new_loop() -> asyncio.AbstractEventLoop:
    """Use uvloop if it is installed."""
    try:
        uvloop: Any = importlib.import_module("uvloop")
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def exit_process(code: int) -> None:
    """Exit the process, even if a function hangs in a thread or left non-daemon threads running."""
    threading.Thread(target=_force_exit, args=(code,), daemon=True).start()
    sys.exit(code)


def _force_exit(code: int) -> None:
    time.sleep(EXIT_GRACE_SECONDS)
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    exit_process(main())
