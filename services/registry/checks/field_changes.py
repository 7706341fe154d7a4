"""What differs between two versions of a manifest, field by field, as text for people. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from libs.common.manifests.quantities import format_duration, format_size

MAX_VALUE = 160
"""Characters of a value that are shown."""
CONTEXT = 40
"""Characters of a long value that are shown before its first difference."""
SIZES = frozenset({"memory", "shm", "capacity"})
DURATIONS = frozenset({"timeout", "idleTimeout", "startTimeout", "backoff", "retention"})


@dataclass(frozen=True)
class FieldChange:
    """`field` as in `spec.env[LEVEL].value`: items of a list by their name. None: not there."""

    field: str
    before: str | None
    after: str | None


def compare_fields(before: Any, after: Any, path: str = "") -> Iterator[FieldChange]:
    """The differences of two JSON values, in the order of their fields."""
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _compare_members(before, after, f"{path}." if path else "", "")
        return
    old, new = _index_by_name(before), _index_by_name(after)
    if old is None or new is None:
        yield _make_change(path, before, after)
        return
    yield from _compare_members(old, new, f"{path}[", "]")
    order_before, order_after = [name for name in old if name in new], [name for name in new if name in old]
    if order_before != order_after:
        yield _make_change(f"{path} (order)", order_before, order_after)


def _compare_members(
    before: Mapping[str, Any], after: Mapping[str, Any], prefix: str, suffix: str
) -> Iterator[FieldChange]:
    for name in {**before, **after}:
        yield from compare_fields(before.get(name), after.get(name), f"{prefix}{name}{suffix}")


def _index_by_name(value: Any) -> dict[str, Mapping[str, Any]] | None:
    """The items of a list by their names, which the keys stand for; None unless each has one of its own."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return None
    names = [item.get("name") if isinstance(item, Mapping) else None for item in value]
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        return None
    return {
        str(name): {key: field for key, field in item.items() if key != "name"}
        for name, item in zip(names, value, strict=True)
    }


def _make_change(path: str, before: Any, after: Any) -> FieldChange:
    key = path.rpartition(".")[2]
    texts = [None if value is None else _to_text(_to_readable(key, value)) for value in (before, after)]
    start = _find_difference(*texts)
    return FieldChange(path, *(None if text is None else cut_text(text, start) for text in texts))


def _to_readable(key: str, value: Any) -> Any:
    """Sizes and durations as one writes them; without fields that are empty."""
    if isinstance(value, Mapping):
        return {name: _to_readable(name, member) for name, member in value.items() if member is not None}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_to_readable("", item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        if key in SIZES:
            return format_size(int(value))
        return format_duration(value) if key in DURATIONS else value
    return value


def _to_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _find_difference(before: str | None, after: str | None) -> int:
    """Where two texts begin to differ."""
    pairs = enumerate(zip(before or "", after or "", strict=False))
    return next((index for index, (old, new) in pairs if old != new), min(len(before or ""), len(after or "")))


def cut_text(text: str, start: int) -> str:
    """At most MAX_VALUE characters, with those from `start` on."""
    begin = max(0, start - CONTEXT) if len(text) > MAX_VALUE else 0
    piece = text[begin : begin + MAX_VALUE]
    return ("…" if begin else "") + piece + ("…" if begin + MAX_VALUE < len(text) else "")
