"""`mlmesh` with five services that do nothing: what `up` does with services, whatever they are.

Each writes when it starts and stops, to the file SMALL_MESH_LOG. SMALL_MESH_ENDS names one that fails to start,
SMALL_MESH_UNREADY one without which the gateway says that it is not ready.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from services.__main__ import check, remains, upgrade
from services.cli.command import main
from services.cli.service_factories import Create, Parts


def create(name: str) -> Create:
    def made(settings: Any, bus: Any = None) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan":
                await lifespan(name, settings, bus, receive, send)
            else:
                await answer(send)

        return app

    return made


async def lifespan(name: str, settings: Any, bus: Any, receive: Any, send: Any) -> None:
    await receive()
    if os.environ.get("SMALL_MESH_ENDS") == name:
        await send({"type": "lifespan.startup.failed", "message": "cannot"})
        return
    about = {"port": settings.port, "registry": settings.registry_url, "bus": id(bus)}
    told(event="started", name=name, reach=settings.repository_reach, **about)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    told(event="stopped", name=name)
    await send({"type": "lifespan.shutdown.complete"})


async def answer(send: Any) -> None:
    unready = os.environ.get("SMALL_MESH_UNREADY")
    parts = {name: {"ready": name != unready, "reason": "on purpose"} for name in ("registry", "scheduler")}
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 503 if unready else 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"parts": parts}).encode()})


def told(**event: Any) -> None:
    with Path(os.environ["SMALL_MESH_LOG"]).open("a") as log:
        log.write(json.dumps(event) + "\n")


if __name__ == "__main__":
    sys.exit(main(Parts(create, check, upgrade, remains)))
