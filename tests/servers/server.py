"""What all servers have in common: an address, and, when it is ours, what runs it."""

from abc import ABC, abstractmethod

from tests.servers.process import Runner


class Server(ABC):
    """`runner` is None when the address was given and somebody else runs it."""

    def __init__(self, url: str, runner: Runner | None = None) -> None:
        self.url = url
        self.runner = runner

    def start(self) -> None:
        """Also again, after `stop` or `kill`: same address, same data."""
        if not self._own.running:
            self._own.start(self.answers)

    def stop(self) -> None:
        self._own.stop()

    def kill(self) -> None:
        self._own.kill()

    def pause(self) -> None:
        """Connections stay open, nothing answers."""
        self._own.pause()

    def resume(self) -> None:
        self._own.resume()

    def close(self) -> None:
        if self.runner is not None:
            self.runner.close()

    @abstractmethod
    def answers(self) -> bool: ...

    @property
    def _own(self) -> Runner:
        assert self.runner, "a server whose address was given is not ours to stop"
        return self.runner
