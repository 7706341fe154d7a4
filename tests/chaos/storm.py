"""Faults at random, from a seed: kills, freezes and restarts of everything, while clients submit runs."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from random import Random

from deploy.demo.api import Api
from deploy.demo.show import Failed, Unanswered
from tests.chaos.shapes import SHAPES, body
from tests.e2e.application import Application
from tests.e2e.processes import SERVICES, Processes
from tests.servers.server import Server

FREEZE_S = (0.5, 7.0)
"""Up to longer than a lease."""
AWAY_S = (0.0, 4.0)
QUIET_S = (0.5, 4.0)
"""Between two faults."""
SECOND = "scheduler-2"
"""Another one on the same database: leadership goes from one to the other."""
CLIENTS = 3
PAUSE_S = (0.3, 1.5)


@dataclass
class Accepted:
    shape: str
    word: str
    place: str


@dataclass
class Storm:
    """`servers` by name: the broker, the database, the store, and the engine where there is one."""

    mesh: Processes
    app: Application
    servers: Mapping[str, Server]
    seed: int
    accepted: list[Accepted] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def rage(self, seconds: float) -> None:
        """Raises what a client could not understand."""
        random, over, troubles = Random(self.seed), threading.Event(), []

        def client(number: int) -> None:
            try:
                self._submit(Random(f"{self.seed}-{number}"), over, number)
            except Exception as error:  # noqa: BLE001  told by the test's own thread
                troubles.append(error)

        threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end and not troubles:
                self._fault(random)
                time.sleep(random.uniform(*QUIET_S))
        finally:
            over.set()
            for thread in threads:
                thread.join()
        if troubles:
            raise troubles[0]

    def _fault(self, random: Random) -> None:
        name = random.choice([*SERVICES, SECOND, *self.servers])
        kind = random.choice(["kill", "freeze", "restart"])
        self.faults.append(f"{kind} {name}")
        acts: dict[str, Callable[[], None]] = (
            self._on_server(self.servers[name], random) if name in self.servers else self._on_service(name, random)
        )
        acts[kind]()

    def _on_service(self, name: str, random: Random) -> dict[str, Callable[[], None]]:
        away, frozen = random.uniform(*AWAY_S), random.uniform(*FREEZE_S)

        def begin() -> None:
            self.mesh.begin(name, "scheduler" if name == SECOND else "")

        def kill() -> None:
            self.mesh.kill(name)
            time.sleep(away)
            begin()

        def freeze() -> None:
            self.mesh.signal(name, signal.SIGSTOP)
            time.sleep(frozen)
            self.mesh.signal(name, signal.SIGCONT)

        def restart() -> None:
            self.mesh.end(name)
            begin()

        return {"kill": kill, "freeze": freeze, "restart": restart}

    def _on_server(self, server: Server, random: Random) -> dict[str, Callable[[], None]]:
        away, frozen = random.uniform(*AWAY_S), random.uniform(*FREEZE_S)

        def kill() -> None:
            server.kill()
            time.sleep(away)
            server.start()

        def freeze() -> None:
            server.pause()
            time.sleep(frozen)
            server.resume()

        def restart() -> None:
            server.stop()
            server.start()

        return {"kill": kill, "freeze": freeze, "restart": restart}

    def _submit(self, random: Random, over: threading.Event, client: int) -> None:
        """Each run with a key of its own, sent until it is answered: what was accepted is noted once."""
        count = 0
        while not over.is_set():
            count += 1
            shape, word = random.choice(list(SHAPES)), f"{client}-{count}-{random.randrange(10**6)}"
            place = self.app.eventually("a run is accepted", lambda: self._once(shape, word))  # noqa: B023
            self.accepted.append(Accepted(shape, word, place))
            over.wait(random.uniform(*PAUSE_S))

    def _once(self, shape: str, word: str) -> str | None:
        """Where the run is; None when that is not known yet. Raises Failed for an answer that nobody could act on."""
        with closing(Api(self.mesh.url, "")) as own, suppress(Unanswered):
            headers = {"Idempotency-Key": word}
            answer = self.app.call("POST", f"/{shape}/runs", body(word), api=own, headers=headers)
            if answer.status == 202:
                return str(answer.headers["Location"])
            if answer.status not in (429, 503, 504) or "Retry-After" not in answer.headers:
                raise Failed(f"{shape} was answered with {answer.status}: {answer.body[:300]!r}")
        return None
