"""`mlmesh up`: runs all services in one process, on loopback ports, with an embedded database, bus and store."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from services.cli import down, preflight, profile, render
from services.cli.cli_errors import Failure
from services.cli.client import is_mesh_running
from services.cli.data_dir import free_disk_space, load_or_create_key, lock_data_dir
from services.cli.process_memory import tune_memory
from services.cli.service_factories import START_ORDER, ServiceFactories
from services.cli.service_process import load_settings, run_event_loop, stop_on_signals, wait_for_any

if TYPE_CHECKING:
    from libs.common.bus import Bus
    from libs.common.settings import Settings

READY_TIMEOUT_S = 60.0
POLL_INTERVAL_S = 0.05
ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104  compared with, not bound to
NO_ISOLATION_NOTE = (
    "the process runtime isolates nothing: components and stages run as you, with your files; for your own code"
)


def up(
    context: typer.Context,
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on, IPv6 too; default 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="Default 8000; 0 takes a free one.", min=0, max=65535)
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Default ~/.local/share/mlmesh; its file admin-token is yours.")
    ] = None,
    runtime: Annotated[
        Literal["process", "docker"] | None, typer.Option("--runtime", help="What runs things; default process.")
    ] = None,
) -> None:
    """Run all five services in one process, until Ctrl-C."""
    chosen = {"host": host, "port": port, "data": data, "runtime": runtime and f"{runtime}://"}
    settings = load_settings(**chosen)
    overrides: dict[str, object] = {} if "run_log" in settings.model_fields_set else {"run_log": True}
    overrides["runtime"] = settings.runtime  # set even the default: the registry warns of its limits
    overrides["repository_networks"] = (
        settings.reachable_repository_networks
    )  # derived from the mesh's host; each service listens on another one
    settings = settings.with_values(data=settings.data.absolute(), **overrides)
    with lock_data_dir(settings.data):
        free_disk_space(settings)
        preflight.check_data_dir(settings)
        settings = settings.with_values(
            admin_token=load_or_create_key(settings.data, "admin-token", settings.admin_token),
            internal_token=settings.internal_token or load_or_create_key(settings.data, "internal-token"),
            secret_key=settings.secret_key or load_or_create_key(settings.data, "secret-key"),
        )
        _migrate_database(settings)
        if settings.runtime.startswith("process"):
            render.write_note(NO_ISOLATION_NOTE)
        run_event_loop(_run_mesh(settings, context.obj))
        down.note_remaining_containers(settings, context.obj)


def _migrate_database(settings: Settings) -> None:
    """Migrate in a child process, which frees the memory of the migration's libraries."""
    environ = {
        **os.environ,
        "MLMESH_DATABASE": settings.database_url,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    done = subprocess.run(
        [sys.executable, "-P", "-m", "services", "migrate"], env=environ, capture_output=True, text=True
    )
    if done.returncode:
        why = done.stderr.strip().removeprefix("mlmesh: ")
        raise Failure(f"the database could not be brought to the current schema: {why}")


async def _run_mesh(settings: Settings, factories: ServiceFactories) -> None:
    from libs.common.bus import open_bus

    async with stop_on_signals() as stop, open_bus(settings.bus) as bus, AsyncExitStack() as running:
        sockets = _bind_sockets(settings)
        address = _public_url(settings, sockets["gateway"])
        ended = await _start_services(settings.with_values(public_url=address), factories, bus, sockets, running, stop)
        if not stop.is_set():
            await _wait_until_ready(address, sockets["gateway"], stop)
        if not stop.is_set():
            await asyncio.to_thread(_save_profile, profile.Profile(address, settings.admin_token or ""))
            render.write_lines(f"ready {address}")
            await wait_for_any(stop, *ended.values())
        if not stop.is_set():
            names = ", ".join(name for name, event in ended.items() if event.is_set())
            raise Failure(f"{names} ended by itself; the log says why")


def _save_profile(mesh: profile.Profile) -> None:
    """Make this mesh the default of commands, unless the current default responds."""
    try:
        current = profile.load_default(os.environ)
    except Failure:  # the file is written again
        current = profile.Profile("", "")
    other = bool(current.url) and current.token != mesh.token and is_mesh_running(current.url)
    profile.save_profile(os.environ, mesh, current=not other)
    if other:
        render.write_note(
            f"commands speak to {current.url} as before, which answers, too; for this mesh write --url {mesh.url}, "
            f"or set MLMESH_URL={mesh.url}"
        )


def _bind_sockets(settings: Settings) -> dict[str, socket.socket]:
    """Bind all sockets before any service starts, so that an address in use fails early."""
    from libs.common.http.server import bind
    from libs.common.settings import DEFAULT_PORTS

    gateway = bind(settings.host, DEFAULT_PORTS["gateway"] if settings.port is None else settings.port)
    return {name: gateway if name == "gateway" else bind("127.0.0.1", 0) for name in START_ORDER}


def _public_url(settings: Settings, gateway: socket.socket) -> str:
    if "public_url" in settings.model_fields_set:
        return settings.public_url
    from libs.common.http.server import socket_url

    port = gateway.getsockname()[1]
    return f"http://127.0.0.1:{port}" if settings.host in ANY_ADDRESS else socket_url(gateway)


async def _start_services(
    settings: Settings,
    factories: ServiceFactories,
    bus: Bus,
    sockets: dict[str, socket.socket],
    stack: AsyncExitStack,
    stop: asyncio.Event,
) -> dict[str, asyncio.Event]:
    """Start all services in `stack`, which stops them in reverse order; an event per service is set at its end."""
    from libs.common.http.server import CannotStart, run_server, socket_url

    addresses = {f"{name}_url": socket_url(sockets[name]) for name in ("registry", "scheduler", "databox")}
    ended: dict[str, asyncio.Event] = {}
    for name in START_ORDER:
        if stop.is_set():
            break
        host, port = sockets[name].getsockname()[:2]
        service_settings = settings.with_values(host=host, port=port, **addresses)
        try:
            ended[name] = await stack.enter_async_context(
                run_server(factories.load_factory(name)(service_settings, bus), sockets[name])
            )
        except CannotStart as error:
            why = error.extensions.get("why")
            message = f"{name} cannot start: {why}" if why else f"{name} ended while it was starting; its log says why"
            raise Failure(message) from error
    tune_memory()
    return ended


async def _wait_until_ready(address: str, gateway: socket.socket, stop: asyncio.Event) -> None:
    """Wait until the gateway reports readiness. Raises Failure, which names the services that are not ready."""
    import aiohttp

    from libs.common.http.server import socket_url

    host, port = gateway.getsockname()[:2]
    url = (f"http://127.0.0.1:{port}" if host in ANY_ADDRESS else socket_url(gateway)) + "/readyz"
    parts: dict[str, dict[str, object]] = {}
    try:
        async with asyncio.timeout(READY_TIMEOUT_S), aiohttp.ClientSession() as session:
            while not stop.is_set():
                async with session.get(url) as response:
                    if response.status == 200:
                        return
                    parts = (await response.json(content_type=None)).get("parts", {})
                await asyncio.sleep(POLL_INTERVAL_S)
    except TimeoutError as error:
        missing = "; ".join(f"{name}: {part.get('reason')}" for name, part in parts.items() if not part.get("ready"))
        raise Failure(f"the mesh at {address} was not ready after {READY_TIMEOUT_S:.0f} s ({missing})") from error
