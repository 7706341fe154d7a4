"""Keeps what a task's log must not show beside its lease, encrypted: the next worker adopts the task without asking."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from libs.common.encryption import Encryptor

FILE = "hidden-values"
PURPOSE = "worker hidden values"


def save_hidden_values(folder: Path, key: str, values: Iterable[str]) -> None:
    """Nothing is written without values. `key`: the mesh's internal token."""
    if content := sorted(values):
        encrypted = Encryptor(key, PURPOSE).encrypt(json.dumps(content).encode(), folder.name.encode())
        with open(folder / FILE, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(encrypted)


def load_hidden_values(folder: Path, key: str) -> list[str]:
    """Empty if there were none, or if they cannot be read."""
    with suppress(OSError, ValueError):
        encrypted = (folder / FILE).read_bytes()
        return [str(value) for value in json.loads(Encryptor(key, PURPOSE).decrypt(encrypted, folder.name.encode()))]
    return []
