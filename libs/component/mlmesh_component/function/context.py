"""The context of a call, for the function's parameter `context`."""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile
import threading
import time


class Context:
    """The call that a function handles.

    `caller` is the caller's name if the API passes identities on; `deadline` is seconds since 1970, infinite if
    there is none; `boxes` are the names of the connected boxes. `is_owner_call`: an owner of the app calls, who may
    see exceptions of the function.
    """

    def __init__(
        self,
        request_id: str,
        caller: str | None = None,
        deadline: float = float("inf"),
        boxes: tuple[str, ...] = (),
        grant: str | None = None,
        traceparent: str | None = None,
        is_owner_call: bool = True,
    ) -> None:
        self.request_id = request_id
        self.caller = caller
        self.deadline = deadline
        self.boxes = boxes
        self.grant = grant
        self.traceparent = traceparent
        self.is_owner_call = is_owner_call
        self.stored_paths: set[str] = set()
        """Paths of the files that the call has stored."""
        self._cancelled = threading.Event()
        self._folder: str | None = None

    @property
    def remaining(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.time()

    @property
    def cancelled(self) -> bool:
        """Whether nothing waits for the result any more: the caller has disconnected or the deadline has passed."""
        return self._cancelled.is_set()

    @property
    def folder(self) -> pathlib.Path:
        """A temporary folder of this call, removed with its content after the call."""
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="mlmesh-")
        return pathlib.Path(self._folder)

    def contains_path(self, path: str) -> bool:
        """Whether the path is in the temporary folder of this call."""
        if self._folder is None:
            return False
        return pathlib.Path(os.path.realpath(self._folder)) in pathlib.Path(os.path.realpath(path)).parents

    def cancel(self) -> None:
        self._cancelled.set()

    def close(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
