"""Lists the templates of this package, and renders their files. Pure, but for reading the package."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from string import Template as TextTemplate

from pydantic import BaseModel, ConfigDict
from ruamel.yaml import YAML

from libs.common.errors import Invalid, NotFound

DESCRIPTION_FILE = "template.yml"
SUFFIX = ".in"
"""Of files with placeholders; it also hides them from tools that look at sources. Other files are copied."""


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LocalizedText(Section):
    en: str
    ru: str


class Parameter(Section):
    """A value that the files contain; `pattern` is what the whole value must match."""

    name: str
    description: LocalizedText
    default: str
    pattern: str


class TemplateSecret(Section):
    """A Secret of the manifests, whose values are to be set."""

    name: str
    keys: tuple[str, ...]


class TemplateDescription(Section):
    """What `template.yml` says. `next`: what to do when the app is live."""

    title: LocalizedText
    description: LocalizedText
    parameters: tuple[Parameter, ...] = ()
    secrets: tuple[TemplateSecret, ...] = ()
    next: LocalizedText


@dataclass(frozen=True)
class Repository:
    """What the files of a repository say of it: the app, its title, and the address of the mesh."""

    app: str
    title: str
    mesh: str

    def list_values(self) -> dict[str, str]:
        return {"app": self.app, "title": " ".join(self.title.split()) or self.app, "mesh": self.mesh}


@dataclass(frozen=True)
class RepositoryTemplate:
    name: str
    description: TemplateDescription
    folder: Traversable

    def fill_parameters(self, chosen: Mapping[str, str]) -> dict[str, str]:
        """A value for each parameter. Raises Invalid for an unknown name, and for a value that does not fit."""
        parameters = {parameter.name: parameter for parameter in self.description.parameters}
        for name in chosen:
            if name not in parameters:
                names = ", ".join(parameters) or "it has none"
                raise Invalid(f"the template {self.name} has no parameter {name!r}; its parameters: {names}")
        values = {name: chosen.get(name, parameter.default) for name, parameter in parameters.items()}
        for name, value in values.items():
            if not re.fullmatch(parameters[name].pattern, value):
                raise Invalid(
                    f"{name} cannot be {value!r}; write {parameters[name].description.en}"
                    f" ({parameters[name].pattern}), such as {parameters[name].default}"
                )
        return values

    def render(self, repository: Repository, parameters: Mapping[str, str]) -> dict[str, bytes]:
        """The files by path. Raises Invalid for parameters that do not fit."""
        values = {**repository.list_values(), **self.fill_parameters(parameters)}
        return dict(sorted(_render_files(self.folder, values)))


def list_templates() -> list[RepositoryTemplate]:
    """By name."""
    return [_read_template(folder) for folder in _list_folders().values()]


def get_template(name: str) -> RepositoryTemplate:
    """Raises NotFound, with the names of all."""
    folders = _list_folders()
    if name not in folders:
        raise NotFound(f"there is no template {name!r}; the templates are {', '.join(folders)}")
    return _read_template(folders[name])


def _list_folders() -> dict[str, Traversable]:
    folders = sorted(files("libs.common.templates").iterdir(), key=lambda entry: entry.name)
    return {folder.name: folder for folder in folders if (folder / DESCRIPTION_FILE).is_file()}


def _read_template(folder: Traversable) -> RepositoryTemplate:
    document = YAML(typ="safe").load((folder / DESCRIPTION_FILE).read_text(encoding="utf-8"))
    return RepositoryTemplate(folder.name, TemplateDescription.model_validate(document), folder)


def _render_files(folder: Traversable, values: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    for path, file in _walk_files(folder):
        if path.endswith(SUFFIX):
            text = TextTemplate(file.read_text(encoding="utf-8")).substitute(values)
            yield path.removesuffix(SUFFIX), text.encode()
        elif path != DESCRIPTION_FILE:
            yield path, file.read_bytes()


def _walk_files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.name == "__pycache__":
            continue
        if entry.is_dir():
            yield from _walk_files(entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry
