"""A lease: the scheduler's order to run one attempt of a task, and the fencing token that it is valid under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from libs.common.http.tolerant_list import describe_entry

LEASE_FIELDS: Mapping[str, type] = {
    "task": str, "kind": str, "token": int, "attempt": int, "app": str, "commit": str, "spec": dict,
}  # fmt: skip


@dataclass(frozen=True)
class Lease:
    task: str
    kind: str
    token: int
    attempt: int
    app: str
    commit: str
    spec: dict[str, Any]

    @classmethod
    def from_json(cls, value: Any) -> Lease:
        """Raises ValueError for an invalid lease; its message names the task if it is known."""
        if not isinstance(value, dict) or not all(type(value.get(name)) is kind for name, kind in LEASE_FIELDS.items()):
            raise ValueError(f"invalid lease: {describe_entry(value)}")
        return cls(**{name: value[name] for name in LEASE_FIELDS})

    @property
    def container_name(self) -> str:
        return f"mlmesh-{self.task}-{self.token}"

    @property
    def log_fields(self) -> dict[str, Any]:
        """Fields of every log event about this lease."""
        return {"task": self.task, "kind": self.kind, "app": self.app, "attempt": self.attempt, "token": self.token}
