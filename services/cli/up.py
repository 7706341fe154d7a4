"""`mlmesh up`: the five services in one process, each on a loopback port of its own, on embedded parts."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from services.cli import down, preflight, profile, render
from services.cli.cli_errors import Failure
from services.cli.client import answers
from services.cli.data_dir import key, locked, room
from services.cli.service_factories import START_ORDER, Parts
from services.cli.service_process import configured, first, garbage_is_rare, in_loop, stopping

if TYPE_CHECKING:
    from libs.common.bus import Bus
    from libs.common.settings import Settings

READY_TIMEOUT_S = 60.0
ASK_INTERVAL_S = 0.05
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  compared with, not bound to
ISOLATES_NOTHING = (
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
    settings = configured(**chosen)
    told: dict[str, Any] = {} if "run_log" in settings.model_fields_set else {"run_log": True}
    told["runtime"] = settings.runtime  # a default is said, too: the registry warns of what it does not do
    told["repository_networks"] = (
        settings.reachable_repository_networks
    )  # by the host that the mesh listens on: services have others
    settings = settings.with_values(data=settings.data.absolute(), **told)
    with locked(settings.data):
        room(settings)
        preflight.check(settings)
        settings = settings.with_values(
            admin_token=key(settings.data, "admin-token", settings.admin_token),
            internal_token=settings.internal_token or key(settings.data, "internal-token"),
            secret_key=settings.secret_key or key(settings.data, "secret-key"),
        )
        _migrate(settings)
        if settings.runtime.startswith("process"):
            render.note(ISOLATES_NOTHING)
        in_loop(_run(settings, context.obj))
        down.tell(settings, context.obj)


def _migrate(settings: Settings) -> None:
    """In a process of its own: what only a migration needs is not kept in memory for ever."""
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


async def _run(settings: Settings, parts: Parts) -> None:
    from libs.common.bus import open_bus

    async with stopping() as stop, open_bus(settings.bus) as bus, AsyncExitStack() as running:
        sockets = _sockets(settings)
        address = _public(settings, sockets["gateway"])
        ended = await _started(settings.with_values(public_url=address), parts, bus, sockets, running, stop)
        if not stop.is_set():
            await _ready(address, sockets["gateway"], stop)
        if not stop.is_set():
            await asyncio.to_thread(_remember, profile.Profile(address, settings.admin_token or ""))
            render.write(f"ready {address}")
            await first(stop, *ended.values())
        if not stop.is_set():
            names = ", ".join(name for name, event in ended.items() if event.is_set())
            raise Failure(f"{names} ended by itself; the log says why")


def _remember(mesh: profile.Profile) -> None:
    """Commands speak to this mesh from now on, unless another one that they know answers."""
    try:
        before = profile.known(os.environ)
    except Failure:  # it is written anew
        before = profile.Profile("", "")
    other = bool(before.url) and before.token != mesh.token and answers(before.url)
    profile.save(os.environ, mesh, current=not other)
    if other:
        render.note(
            f"commands speak to {before.url} as before, which answers, too; for this mesh write --url {mesh.url}, "
            f"or set MLMESH_URL={mesh.url}"
        )


def _sockets(settings: Settings) -> dict[str, socket.socket]:
    """All bound before anything starts: an address in use is told at once."""
    from libs.common.http.server import bind
    from libs.common.settings import DEFAULT_PORTS

    gateway = bind(settings.host, DEFAULT_PORTS["gateway"] if settings.port is None else settings.port)
    return {name: gateway if name == "gateway" else bind("127.0.0.1", 0) for name in START_ORDER}


def _public(settings: Settings, gateway: socket.socket) -> str:
    if "public_url" in settings.model_fields_set:
        return settings.public_url
    from libs.common.http.server import socket_url

    port = gateway.getsockname()[1]
    return f"http://127.0.0.1:{port}" if settings.host in EVERYWHERE else socket_url(gateway)


async def _started(
    settings: Settings,
    parts: Parts,
    bus: Bus,
    sockets: dict[str, socket.socket],
    stack: AsyncExitStack,
    stop: asyncio.Event,
) -> dict[str, asyncio.Event]:
    """Each service running in `stack`, which ends them in the opposite order; events that say one has ended."""
    from libs.common.http.server import CannotStart, run_server, socket_url

    addresses = {f"{name}_url": socket_url(sockets[name]) for name in ("registry", "scheduler", "databox")}
    ended: dict[str, asyncio.Event] = {}
    for name in START_ORDER:
        if stop.is_set():
            break
        host, port = sockets[name].getsockname()[:2]
        own = settings.with_values(host=host, port=port, **addresses)
        try:
            ended[name] = await stack.enter_async_context(run_server(parts.create(name)(own, bus), sockets[name]))
        except CannotStart as error:
            why = error.extensions.get("why")
            said = f"{name} cannot start: {why}" if why else f"{name} ended while it was starting; its log says why"
            raise Failure(said) from error
    garbage_is_rare()
    return ended


async def _ready(address: str, gateway: socket.socket, stop: asyncio.Event) -> None:
    """Until the gateway says that every part is ready. Raises Failure, which names the parts that are not."""
    import aiohttp

    from libs.common.http.server import socket_url

    host, port = gateway.getsockname()[:2]
    url = (f"http://127.0.0.1:{port}" if host in EVERYWHERE else socket_url(gateway)) + "/readyz"
    parts: dict[str, Any] = {}
    try:
        async with asyncio.timeout(READY_TIMEOUT_S), aiohttp.ClientSession() as session:
            while not stop.is_set():
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
                    parts = (await answer.json(content_type=None)).get("parts", {})
                await asyncio.sleep(ASK_INTERVAL_S)
    except TimeoutError as error:
        missing = "; ".join(f"{name}: {part.get('reason')}" for name, part in parts.items() if not part.get("ready"))
        raise Failure(f"the mesh at {address} was not ready after {READY_TIMEOUT_S:.0f} s ({missing})") from error
