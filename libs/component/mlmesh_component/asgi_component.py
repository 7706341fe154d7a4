"""Composition of a component that is a web application (ASGI)."""

from __future__ import annotations

from . import startup_message
from .asgi.application import Application
from .asgi.lifespan import Lifespan, StartupFailed
from .component_server import GRACE_SECONDS, ComponentServer, LoadError
from .function.function import import_target
from .http.server import HttpServer
from .http.streaming_parser import UNLIMITED, StreamingParser
from .settings import Settings
from .thread_pool import ThreadPool


class ApplicationComponent(ComponentServer):
    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._application = Application(settings.token)
        self._server = HttpServer(self._application, StreamingParser, UNLIMITED)
        self._lifespan: Lifespan | None = None

    async def start_listening(self) -> int:
        return await self._server.start_listening(self.settings.host, self.settings.port)

    async def load(self) -> None:
        try:
            app = await self.run_import(ThreadPool(1, "import"), lambda: import_target(self.settings.app or ""))
            self._application.reason = "The application is starting."
            self._lifespan = lifespan = Lifespan(app)
            await lifespan.start()
        except StartupFailed as error:
            lines = str(error).strip().splitlines()
            raise LoadError(lines[-1] if lines else "the lifespan startup failed") from error
        self._application.mark_ready(lifespan)

    async def close(self) -> None:
        self._application.stop()
        self._server.stop_accepting()
        await self._application.drain(GRACE_SECONDS)
        await self._server.close()
        if self._lifespan is not None:
            await self._lifespan.stop()

    def startup_message(self) -> str:
        return (
            f"mlmesh: {self.settings.app} is ready on {startup_message.local_url(self.settings, self._server.port)}/\n"
        )
