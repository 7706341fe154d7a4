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
        """Raises ValueError when it is none, which names the task if that is known."""
        if not isinstance(value, dict) or not all(type(value.get(name)) is kind for name, kind in LEASE_FIELDS.items()):
            raise ValueError(f"no lease: {describe_entry(value)}")
        return cls(**{name: value[name] for name in LEASE_FIELDS})

    @property
    def container_name(self) -> str:
        return f"mlmesh-{self.task}-{self.token}"
