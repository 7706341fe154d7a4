"""Reads the manifests of a checkout, for commands that need no mesh."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from services.cli.cli_errors import Failure
from services.cli.manifest_folder import APPLICATION, DEFAULT_FOLDER, find_manifest_root, walk

if TYPE_CHECKING:
    from libs.common.manifests import Manifest
    from libs.common.manifests.fields import Header

    Body = TypeVar("Body", bound=Header)

ATTACHING = frozenset({"PlatformApp", "Repository", "Secret"})


def find_manifest(kind: type[Body], name: str, folder: Path) -> tuple[Body, Sequence[Manifest[Header]]]:
    """The manifest of this kind and name, and all manifests, including those of app.yaml. Raises Failure."""
    from libs.common.manifests import read_documents

    read = read_files(folder)
    documents, problems = read_documents({**read.manifests, **read.applied})
    bodies = {document.name: document.body for document in documents if isinstance(document.body, kind)}
    if name not in bodies:
        why = f": {problems[0]}" if problems else f"; there are {', '.join(sorted(bodies)) or 'none'}"
        raise Failure(f"no {kind.__name__} {name!r} in {folder}{why}")
    return bodies[name], documents


class CheckoutFiles(NamedTuple):
    """The manifests, and app.yaml if `mlmesh apply` would send it; paths are relative to the working directory."""

    root: Path
    """Where a deployment looks for manifests."""
    manifests: Mapping[str, bytes]
    applied: Mapping[str, bytes]


def read_files(folder: Path) -> CheckoutFiles:
    """Raises Failure."""
    if not folder.is_dir():
        raise Failure(f"{folder} is not a folder")
    from libs.common.repository_tree import is_manifest_file

    sent = _read_application(repository_root(folder) / APPLICATION)
    top = find_manifest_root(folder, sent)
    paths = sorted(file for file in walk(top) if is_manifest_file(file.name) and file.is_file())
    manifests = {display_name(file): read_content(file) for file in paths if file.as_posix() not in sent}
    if not manifests:
        raise Failure(f"there is no manifest (*.yaml, *.yml) in {top}")
    return CheckoutFiles(top, manifests, sent)


def repository_root(folder: Path) -> Path:
    """`folder`, or its parent if it is the folder of manifests."""
    return folder.parent if folder.name == DEFAULT_FOLDER else folder


def display_name(file: Path) -> str:
    """The file name as a deployment shows it, with bytes that are not UTF-8 escaped."""
    return os.fsencode(file).decode(errors="backslashreplace")


def read_content(file: Path) -> bytes:
    """The content, limited to one byte over the maximum: the manifest check reports a file that is too large."""
    from libs.common.manifests.reading import MAX_FILE

    with file.open("rb") as opened:
        return opened.read(MAX_FILE + 1)


def _read_application(file: Path) -> dict[str, bytes]:
    """app.yaml, unless it is something else of that name, such as a manifest."""
    from libs.common.manifests import KINDS
    from libs.common.manifests.parsing import InvalidYaml, parse

    if not file.is_file():
        return {}
    application = {file.as_posix(): read_content(file)}
    try:
        documents = [root.to_plain() for root in parse(application[file.as_posix()])]
    except InvalidYaml:
        return application
    kinds = {str(document.get("kind")) for document in documents if isinstance(document, dict)}
    return application if kinds & ATTACHING and not kinds & (KINDS.keys() - ATTACHING) else {}
