"""A run's states, progress and logs, each printed once as it becomes known."""

from __future__ import annotations

from typing import Any

from deploy.demo import show
from deploy.demo.api import Api

ENDED = ("succeeded", "failed", "canceled", "expired")
UNBEGUN = ("waiting", "queued")


class Watched:
    def __init__(self, api: Api, place: str) -> None:
        self._api = api
        self._place = place
        self._said: dict[str, str] = {}
        self._logged: dict[str, int] = {}

    def look(self) -> dict[str, Any] | None:
        run: dict[str, Any] = self._api.get(self._place)
        for stage in run["stages"]:
            self._state(stage)
            self._log(stage)
        return run if run["status"] in ENDED else None

    def _state(self, stage: dict[str, Any]) -> None:
        progress, reason = stage.get("progress"), stage.get("reason") or {}
        about = f"{progress[0]}/{progress[1]}" if progress else reason.get("detail") or ""
        text = f"{stage['name']:<8} {stage['status']:<10} {about}".rstrip()
        if self._said.get(stage["name"]) != text:
            self._said[stage["name"]] = text
            show.detail(text)

    def _log(self, stage: dict[str, Any]) -> None:
        if stage["status"] in UNBEGUN:
            return
        log = self._api.send("GET", f"{self._place}/logs?stage={stage['name']}", expect=(200, 404))
        text = log.body.decode(errors="replace") if log.status == 200 else ""
        known = self._logged.get(stage["name"], 0)
        whole = text.rfind("\n") + 1
        for one in text[known:whole].splitlines():
            show.detail(show.dim(f"         | {one}"))
        self._logged[stage["name"]] = max(known, whole)
