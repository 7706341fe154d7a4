"""Fields that are part of the format but not supported yet: rejected, never silently ignored.

To support a feature, remove its line.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from libs.common.manifests.problems import Finding, Path


def no_value(value: object) -> bool:
    return False


def any_of(*values: object) -> Callable[[object], bool]:
    return lambda value: value in values


@dataclass(frozen=True)
class UnsupportedField:
    """`*` in the path stands for every item of a list; `is_supported` accepts the values that are supported."""

    kind: str
    path: str
    is_supported: Callable[[object], bool] = no_value
    message: str = '"{field}" is not supported yet; remove it'


UNSUPPORTED_FIELDS: Final = (
    UnsupportedField("MLComponent", "spec.mlService.modelUpdate", any_of("manual")),
    UnsupportedField("APIComponent", "spec.restfulApi.auth.oidc"),
)


def list_findings(kind: str, data: object) -> Iterator[Finding]:
    """Findings for unsupported fields in the plain data of a valid manifest."""
    for entry in UNSUPPORTED_FIELDS:
        if entry.kind == kind:
            for path, value in find_values(data, entry.path.split(".")):
                if value is not None and not entry.is_supported(value):
                    yield Finding(path, entry.message.format(field=field_label(path, value, entry)))


def field_label(path: Path, value: object, entry: UnsupportedField) -> str:
    simple = entry.is_supported is not no_value and isinstance(value, str | bool)
    return f"{path[-1]}: {str(value).lower()}" if simple else str(path[-1])


def find_values(data: object, steps: list[str]) -> Iterator[tuple[Path, object]]:
    if not steps:
        yield (), data
    elif steps[0] == "*" and isinstance(data, list):
        for index, item in enumerate(data):
            yield from (((index, *path), value) for path, value in find_values(item, steps[1:]))
    elif isinstance(data, dict) and steps[0] in data:
        yield from (((steps[0], *path), value) for path, value in find_values(data[steps[0]], steps[1:]))
