"""Finds the folder of a checkout that a deployment reads manifests from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from services.cli.cli_errors import Failure

DEFAULT_FOLDER = "manifests"
APPLICATION = "app.yaml"
SINGULAR = "manifest"
"""What the folder is called by mistake, in any case."""
ENVIRONMENT_FILE = "pyvenv.cfg"
"""In the folder of a virtual environment, which is not committed."""
MANIFEST_MARK = re.compile(rb"apiVersion\W+(mlmesh|unified-platform)\b")


def find_manifest_root(folder: Path, sent: Mapping[str, bytes]) -> Path:
    """The folder that a deployment reads: the path of the Repository in `sent`, else `manifests`, or `folder` itself.

    `sent`: the content of app.yaml by its name. Raises Failure for a folder that a push would not read.
    """
    name = folder.resolve().name
    named = read_repository_path(sent) if name != DEFAULT_FOLDER else None
    if (folder / (named or DEFAULT_FOLDER)).is_dir():
        return folder / (named or DEFAULT_FOLDER)
    if named not in (None, DEFAULT_FOLDER):
        raise Failure(f"there is no folder {folder / str(named)}, the path of the Repository in {APPLICATION}")
    if name == DEFAULT_FOLDER:
        return folder
    if (folder / ".git").exists() or not _holds_manifests(folder):
        raise _not_read(folder, _find_misnamed(folder))
    if name.lower() in (SINGULAR, DEFAULT_FOLDER) and not _is_named_by_parent(folder):
        raise _not_read(folder.parent, folder)
    return folder


def read_repository_path(sent: Mapping[str, bytes]) -> str | None:
    """The folder that the Repository in app.yaml names; None without a Repository."""
    from libs.common.manifests import Repository, read_documents

    specs = [document.body.spec for document in read_documents(sent)[0] if isinstance(document.body, Repository)]
    return specs[0].path if specs else None


def walk(root: Path) -> Iterator[Path]:
    """All files and folders below `root`, but for Git's own and those of virtual environments."""
    for parent, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name != ".git" and not Path(parent, name, ENVIRONMENT_FILE).is_file()]
        yield from (Path(parent, name) for name in (*folders, *files))


def _not_read(repository: Path, misnamed: Path | None) -> Failure:
    advice = f"rename {misnamed}" if misnamed else "put the manifests there"
    return Failure(
        f"a deployment reads {repository / DEFAULT_FOLDER}, which is not there; {advice}, or name the folder of the "
        f"manifests as path in the Repository of {APPLICATION}"
    )


def _find_misnamed(folder: Path) -> Path | None:
    """The subfolder with manifests whose name is probably a typo."""
    from libs.common.manifests.messages import closest_name
    from libs.common.repository_tree import is_manifest_file

    guess = closest_name(DEFAULT_FOLDER, tuple(path.name for path in folder.iterdir() if path.is_dir()))
    if guess is None or not any(is_manifest_file(path.name) for path in walk(folder / guess)):
        return None
    return folder / guess


def _holds_manifests(folder: Path) -> bool:
    """Whether a file in the folder itself says that it is a manifest of the mesh."""
    from libs.common.repository_tree import is_manifest_file

    files = (path for path in folder.iterdir() if is_manifest_file(path.name) and path.name != APPLICATION)
    return any(MANIFEST_MARK.search(path.read_bytes()) for path in files if path.is_file())


def _is_named_by_parent(folder: Path) -> bool:
    application = folder.resolve().parent / APPLICATION
    if not application.is_file():
        return False
    return read_repository_path({APPLICATION: application.read_bytes()}) == folder.resolve().name
