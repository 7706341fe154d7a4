"""Several processes of one service on one port. The kernel shares out new connections among them.

Each listens on a socket of its own, which is held here, too: connections that arrive while a process is being replaced
wait for its successor.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.service_process import configured, first, in_loop, serve, stopping

if TYPE_CHECKING:
    from libs.common.settings import Settings

AGAIN_S = 1.0
"""From the end of a process that nobody stopped to its successor."""
STOP_S = 15.0


Inherited = Annotated[int | None, typer.Option("--socket", hidden=True, help="A listening socket that is inherited.")]


def gateway(context: typer.Context, inherited: Inherited = None) -> None:
    """Run the service gateway, from MLMESH_* in the environment."""
    settings = configured("internal_token")
    if inherited is not None:
        in_loop(serve("gateway", settings, context.obj, socket.socket(fileno=inherited)))
    elif settings.gateway_processes > 1:
        in_loop(several("gateway", settings, settings.gateway_processes))
    else:
        in_loop(serve("gateway", settings, context.obj))


async def several(name: str, settings: Settings, count: int) -> None:
    """Until a signal."""
    from libs.common import log
    from libs.common.http.server import bind_shared, socket_url
    from libs.common.settings import DEFAULT_PORTS

    bound = bind_shared(settings.host, DEFAULT_PORTS[name] if settings.port is None else settings.port, count)
    numbers = settings.data / name / "metrics"
    shutil.rmtree(numbers, ignore_errors=True)
    numbers.mkdir(parents=True)
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(numbers)}
    async with stopping() as stop:
        keeping = [asyncio.create_task(keep(name, one, environ)) for one in bound]
        log.get(name).info("listening", address=socket_url(bound[0]), processes=count)
        await first(stop)
        for task in keeping:
            task.cancel()
        await asyncio.wait(keeping)


async def keep(name: str, bound: socket.socket, environ: dict[str, str]) -> None:
    """One process on this socket, again and again, until this task is cancelled: then it is stopped in order."""
    from libs.common import log

    command = (sys.executable, "-m", "services", name, "--socket", str(bound.fileno()))
    while True:
        child = await asyncio.create_subprocess_exec(
            *command, env=environ, pass_fds=(bound.fileno(),), stdin=asyncio.subprocess.PIPE, start_new_session=True
        )
        try:
            code = await child.wait()
        except asyncio.CancelledError:
            await stopped(child)
            raise
        log.get(name).error("a process ended by itself", pid=child.pid, exit_code=code)
        await asyncio.sleep(AGAIN_S)


async def stopped(child: asyncio.subprocess.Process) -> None:
    if child.returncode is not None:
        return
    child.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_S):
            await child.wait()
    except TimeoutError:
        child.kill()
