"""Composition of a component that is a web application (ASGI)."""

from __future__ import annotations

from . import startup_message
from .asgi.lifespan import Lifespan, StartupFailed
from .asgi.server import AsgiServer
from .component_server import GRACE_SECONDS, ComponentServer, LoadError
from .function.function import import_target
from .settings import Settings
from .thread_pool import ThreadPool


class ApplicationComponent(ComponentServer):
    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._server = AsgiServer(settings.token)
        self._lifespan: Lifespan | None = None

    async def start_listening(self) -> int:
        return await self._server.listen(self.settings.host, self.settings.port)

    async def load(self) -> None:
        try:
            app = await self.run_import(ThreadPool(1, "import"), lambda: import_target(self.settings.app or ""))
            self._server.reason = "The application is starting."
            self._lifespan = lifespan = Lifespan(app)
            await lifespan.start()
        except StartupFailed as error:
            lines = str(error).strip().splitlines()
            raise LoadError(lines[-1] if lines else "the lifespan startup failed") from error
        self._server.mark_ready(lifespan)

    async def close(self) -> None:
        await self._server.close(GRACE_SECONDS)
        if self._lifespan is not None:
            await self._lifespan.stop()

    def startup_message(self) -> str:
        return (
            f"mlmesh: {self.settings.app} is ready on {startup_message.local_url(self.settings, self._server.port)}/\n"
        )
