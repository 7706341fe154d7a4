"""One request on a connection, from its head to the end of its response."""

from __future__ import annotations


class Exchange:
    """What a request handler makes of one request. The connection calls these methods, on the loop's thread."""

    __slots__ = ("minor", "response_started")

    def __init__(self, minor: int) -> None:
        self.minor = minor
        """The request is HTTP/1.`minor`."""
        self.response_started = False

    def start(self) -> None:
        """Handle the request; the connection refers to this exchange from here on."""

    def receive_data(self) -> None:
        """The parser has received more bytes."""

    def receive_eof(self) -> bool:
        """The peer has closed its sending side; return whether it may still wait for the response."""
        return True

    def pause_writing(self) -> None:
        """The peer does not read fast enough."""

    def resume_writing(self) -> None:
        """The peer has read what was written."""

    def disconnect(self) -> None:
        """The connection is lost."""

    def check_timeouts(self, now: float) -> bool:
        """Return whether the timeouts of HTTP do not apply, because the connection was upgraded."""
        return False

    def start_close(self) -> None:
        """The component stops. A request may run to its end; what would not end by itself is closed."""
