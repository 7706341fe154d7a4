"""`mlmesh` with five services that do nothing, to test `up` itself.

Each writes when it starts and stops, to the file SMALL_MESH_LOG. SMALL_MESH_ENDS names one that fails to start,
SMALL_MESH_UNREADY one without which the gateway says that it is not ready.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.__main__ import check_builds, check_manifests, load_teardown, migrate_database
from services.cli.command import main
from services.cli.service_factories import ServiceFactories, ServiceFactory

if TYPE_CHECKING:
    from libs.common.settings import Settings


def create(name: str) -> ServiceFactory:
    def create_app(settings: Settings, bus: Any = None) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan":
                await lifespan(name, settings, bus, receive, send)
            else:
                await answer(send)

        return app

    return create_app


async def lifespan(name: str, settings: Settings, bus: Any, receive: Any, send: Any) -> None:
    await receive()
    if os.environ.get("SMALL_MESH_ENDS") == name:
        await send({"type": "lifespan.startup.failed", "message": "cannot"})
        return
    details = {"port": settings.port, "registry": settings.registry_url, "bus": id(bus)}
    log_event(event="started", name=name, reach=settings.reachable_repository_networks, **details)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    log_event(event="stopped", name=name)
    await send({"type": "lifespan.shutdown.complete"})


async def answer(send: Any) -> None:
    unready = os.environ.get("SMALL_MESH_UNREADY")
    parts = {name: {"ready": name != unready, "reason": "on purpose"} for name in ("registry", "scheduler")}
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 503 if unready else 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"parts": parts}).encode()})


def log_event(**event: Any) -> None:
    with Path(os.environ["SMALL_MESH_LOG"]).open("a") as log:
        log.write(json.dumps(event) + "\n")


if __name__ == "__main__":
    sys.exit(main(ServiceFactories(create, check_manifests, check_builds, migrate_database, load_teardown)))
