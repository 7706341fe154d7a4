"""Converts a YAML document to a validated manifest with positions."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from libs.common.manifests import unsupported
from libs.common.manifests.compatibility import to_canonical
from libs.common.manifests.fields import LABEL, ORIGINAL_API_VERSION, Header
from libs.common.manifests.kinds import KINDS
from libs.common.manifests.messages import closest_name, describe_value, empty_message, error_message
from libs.common.manifests.nodes import Node
from libs.common.manifests.problems import Path, Problem

LFS_POINTER = "version https://git-lfs.github.com/spec/"
"""First line of the pointer that Git LFS commits instead of a file."""
LFS_POINTER_MESSAGE = (
    "this is a Git LFS pointer; the file itself is not in the commit, and is not fetched from Git LFS: take its "
    "pattern out of .gitattributes, run git add --renormalize, and commit it again"
)

Body = TypeVar("Body", bound=Header, covariant=True)


@dataclass(frozen=True, slots=True)
class Manifest(Generic[Body]):
    """A valid manifest; `line` and `column` are the position of the document's first field."""

    kind: str
    name: str
    file: str
    line: int
    column: int
    body: Body
    root: Node = field(repr=False)

    def locate(self, *path: str | int) -> tuple[int, int]:
        """Line and column of a field by its keys in YAML: of a scalar value, else of the key.

        For a field that is not in the file: the position of its nearest parent.
        """
        return self.root.locate(*path)

    def problem_at(self, path: Path, message: str) -> Problem:
        return Problem(self.file, *self.locate(*path), message)


@dataclass(frozen=True, slots=True)
class InvalidManifest:
    """A document that is not a valid manifest; `kind` and `name` are None if they are invalid themselves."""

    kind: str | None = None
    name: str | None = None

    @classmethod
    def from_node(cls, root: Node) -> "InvalidManifest":
        kind, name = root.get_text("kind"), root.get_text("metadata", "name")
        return cls(kind if kind in KINDS else None, name if name and re.fullmatch(LABEL, name) else None)


def read_manifest(file: str, root: Node) -> tuple[Manifest[Header] | None, list[Problem]]:
    """The manifest and its warnings; or None, with the errors and warnings."""
    model, problems = find_kind(file, root)
    if model is None:
        return None, problems
    root, spellings = to_canonical(file, root, model)
    body, problems = validate_fields(file, root, model)
    problems += [*spellings, *check_rejected_fields(file, root, model)]
    if body is not None:
        problems += check_rules(file, root, body)
    if body is None or any(problem.severity == "error" for problem in problems):
        return None, problems
    return Manifest(body.kind, body.metadata.name, file, root.line, root.column, body, root), problems


def find_kind(file: str, root: Node) -> tuple[type[Header] | None, list[Problem]]:
    kinds = ", ".join(KINDS)
    if not isinstance(root.value, dict):
        pointer = isinstance(root.value, str) and root.value.startswith(LFS_POINTER)
        message = (
            LFS_POINTER_MESSAGE if pointer else "not a manifest; it starts with apiVersion, kind, metadata and spec"
        )
        return None, [Problem(file, root.line, root.column, message)]
    kind = root.value["kind"].value.value if "kind" in root.value else None
    if isinstance(kind, str) and kind in KINDS:
        return KINDS[kind], []
    if kind is None:
        return None, [Problem(file, root.line, root.column, f'missing field "kind"; it is one of {kinds}')]
    guess = closest_name(kind, tuple(KINDS)) if isinstance(kind, str) else None
    advice = f'did you mean "{guess}"?' if guess else f"the kinds are {kinds}"
    value = describe_value(root.value["kind"].value.to_plain())
    return None, [Problem(file, *root.locate("kind"), f"unknown kind {value}; {advice}")]


def validate_fields(file: str, root: Node, model: type[Header]) -> tuple[Header | None, list[Problem]]:
    """Validates; for the original platform's apiVersion, ignores unknown fields until no more are reported."""
    data: Any = root.to_plain()
    warnings: list[Problem] = []
    while True:
        try:
            return model.model_validate(data, by_alias=True, by_name=False), warnings
        except ValidationError as invalid:
            errors = [error for error in invalid.errors() if not has_better_message(error, model)]
        unknown = [error for error in errors if error["type"] == "extra_forbidden"]
        if data.get("apiVersion") != ORIGINAL_API_VERSION or not unknown:
            return None, [*warnings, *(locate_error(file, root, error, model) for error in errors)]
        for error in unknown:
            warnings.append(to_ignored_warning(locate_error(file, root, error, model)))
            remove_field(data, error["loc"])


def has_better_message(error: ErrorDetails, model: type[Header]) -> bool:
    """Whether `rejected_fields` has a message for the error."""
    return error["type"] == "extra_forbidden" and error["loc"][-1] in model.rejected_fields and len(error["loc"]) <= 2


def locate_error(file: str, root: Node, error: ErrorDetails, model: type[Header]) -> Problem:
    path = error["loc"]
    if error["type"] == "missing" and root.has_path(*path):
        return Problem(file, *root.locate_key(*path), empty_message(path))
    place = root.locate_key(*path) if error["type"] in ("missing", "extra_forbidden") else root.locate(*path)
    return Problem(file, *place, error_message(error, model))


def to_ignored_warning(problem: Problem) -> Problem:
    return replace(problem, message=f"{problem.message} (left out)", severity="warning")


def remove_field(data: Any, path: Path) -> None:
    for step in path[:-1]:
        data = data[step]
    del data[path[-1]]


def check_rejected_fields(file: str, root: Node, model: type[Header]) -> Iterator[Problem]:
    for name, message in model.rejected_fields.items():
        for path in ((name,), ("spec", name)):
            if root.has_path(*path):
                yield Problem(file, *root.locate_key(*path), message)


def check_rules(file: str, root: Node, body: Header) -> Iterator[Problem]:
    for finding in unsupported.list_findings(body.kind, root.to_plain()):
        yield Problem(file, *root.locate_key(*finding.path), finding.message)
    for finding in body.list_findings():
        yield Problem(file, *root.locate(*finding.path), finding.message, finding.severity)
