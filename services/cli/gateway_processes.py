"""Supervises several processes of the gateway on one port; the kernel distributes connections (SO_REUSEPORT).

Each process has its own listening socket, which the supervisor keeps open: connections that arrive while a process
restarts wait for its successor.
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

from services.cli.service_process import (
    load_settings,
    run_event_loop,
    serve_until_signal,
    stop_on_signals,
    wait_for_any,
)

if TYPE_CHECKING:
    from libs.common.settings import Settings

RESTART_DELAY_S = 1.0
"""Delay before a process that ended unexpectedly is restarted."""
STOP_TIMEOUT_S = 15.0


Inherited = Annotated[int | None, typer.Option("--socket", hidden=True, help="A listening socket that is inherited.")]


def gateway(context: typer.Context, inherited: Inherited = None) -> None:
    """Run the service gateway, from MLMESH_* in the environment."""
    settings = load_settings("internal_token")
    if inherited is not None:
        run_event_loop(serve_until_signal("gateway", settings, context.obj, socket.socket(fileno=inherited)))
    elif settings.gateway_processes > 1:
        run_event_loop(run_processes("gateway", settings, settings.gateway_processes))
    else:
        run_event_loop(serve_until_signal("gateway", settings, context.obj))


async def run_processes(name: str, settings: Settings, count: int) -> None:
    """Run `count` processes until a signal."""
    from libs.common import log
    from libs.common.http.server import bind_shared, socket_url
    from libs.common.settings import DEFAULT_PORTS

    listeners = bind_shared(settings.host, DEFAULT_PORTS[name] if settings.port is None else settings.port, count)
    metrics_folder = settings.data / name / "metrics"
    shutil.rmtree(metrics_folder, ignore_errors=True)
    metrics_folder.mkdir(parents=True)
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(metrics_folder)}
    async with stop_on_signals() as stop:
        supervisors = [asyncio.create_task(supervise(name, listener, environ)) for listener in listeners]
        log.get(name).info("Listening", address=socket_url(listeners[0]), processes=count)
        await wait_for_any(stop)
        for task in supervisors:
            task.cancel()
        await asyncio.wait(supervisors)


async def supervise(name: str, listener: socket.socket, environ: dict[str, str]) -> None:
    """Run a process on this socket and restart it when it ends; stop it when this task is cancelled."""
    from libs.common import log

    command = (sys.executable, "-m", "services", name, "--socket", str(listener.fileno()))
    while True:
        child = await asyncio.create_subprocess_exec(
            *command, env=environ, pass_fds=(listener.fileno(),), stdin=asyncio.subprocess.PIPE, start_new_session=True
        )
        try:
            code = await child.wait()
        except asyncio.CancelledError:
            await stop_process(child)
            raise
        log.get(name).error("Gateway process exited; restarting it", pid=child.pid, exit_code=code)
        await asyncio.sleep(RESTART_DELAY_S)


async def stop_process(child: asyncio.subprocess.Process) -> None:
    if child.returncode is not None:
        return
    child.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await child.wait()
    except TimeoutError:
        child.kill()
