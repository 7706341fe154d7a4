"""A component that is a web application of its own."""

from __future__ import annotations

from . import startup_message
from .asgi.lifespan import Lifespan, StartFailed
from .asgi.server import Server
from .component_server import GRACE_SECONDS, Life, LoadError
from .function.function import find
from .settings import Settings
from .thread_pool import Threads


class Application(Life):
    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._server = Server(settings.token)
        self._lifespan: Lifespan | None = None

    async def start(self) -> int:
        return await self._server.listen(self.settings.host, self.settings.port)

    async def load(self) -> None:
        try:
            app = await self.imported(Threads(1, "import"), lambda: find(self.settings.app or ""))
            self._server.reason = "The application is starting."
            self._lifespan = lifespan = Lifespan(app)
            await lifespan.start()
        except StartFailed as error:
            lines = str(error).strip().splitlines()
            raise LoadError(lines[-1] if lines else "its lifespan failed") from error
        self._server.open(lifespan)

    async def close(self) -> None:
        await self._server.close(GRACE_SECONDS)
        if self._lifespan is not None:
            await self._lifespan.stop()

    def announcement(self) -> str:
        return f"mlmesh: {self.settings.app} is ready on {startup_message.address(self.settings, self._server.port)}/\n"
