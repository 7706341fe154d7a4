"""Fields that manifests know and the platform does not do yet: refused, never accepted and ignored.

To build a feature, remove its line.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from libs.common.manifests.problems import Finding, Path


def never(value: object) -> bool:
    return False


def only(*values: object) -> Callable[[object], bool]:
    return lambda value: value in values


@dataclass(frozen=True)
class Planned:
    """`*` in the path stands for every item of a list; `built` says which values of the field already work."""

    kind: str
    path: str
    built: Callable[[object], bool] = never
    message: str = '"{field}" is not supported yet; remove it'


PLANNED: Final = (
    Planned("MLComponent", "spec.image.build"),
    Planned("MLComponent", "spec.mlService.modelUpdate", only("manual")),
    Planned("ExperimentPipeline", "spec.stages.*.image.build"),
    Planned("APIComponent", "spec.restfulApi.auth.oidc"),
)


def findings(kind: str, data: object) -> Iterator[Finding]:
    """What of a valid manifest's plain data is not built."""
    for entry in PLANNED:
        if entry.kind == kind:
            for path, value in matches(data, entry.path.split(".")):
                if value is not None and not entry.built(value):
                    yield Finding(path, entry.message.format(field=named(path, value, entry)))


def named(path: Path, value: object, entry: Planned) -> str:
    simple = entry.built is not never and isinstance(value, str | bool)
    return f"{path[-1]}: {str(value).lower()}" if simple else str(path[-1])


def matches(data: object, steps: list[str]) -> Iterator[tuple[Path, object]]:
    if not steps:
        yield (), data
    elif steps[0] == "*" and isinstance(data, list):
        for index, item in enumerate(data):
            yield from (((index, *path), value) for path, value in matches(item, steps[1:]))
    elif isinstance(data, dict) and steps[0] in data:
        yield from (((steps[0], *path), value) for path, value in matches(data[steps[0]], steps[1:]))
