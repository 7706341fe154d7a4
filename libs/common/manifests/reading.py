"""Reads all manifest files of a repository to manifests and problems.

Limits are checked first: files that are too large are never parsed.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from libs.common.manifests.fields import Header
from libs.common.manifests.manifest import InvalidManifest, Manifest, read_manifest
from libs.common.manifests.parsing import InvalidYaml, parse
from libs.common.manifests.problems import Problem

MAX_FILE: Final = 2**20  # bytes
MAX_FILES: Final = 500
MAX_TOTAL: Final = 10 * 2**20  # bytes


class ReadResult(NamedTuple):
    """All valid manifests, all problems, and the invalid manifests as far as they are identified."""

    manifests: Sequence[Manifest[Header]]
    problems: Sequence[Problem]
    invalid: Sequence[InvalidManifest]


def read_documents(files: Mapping[str, bytes]) -> tuple[list[Manifest[Header]], list[Problem]]:
    """All valid manifests and all problems, by path and line.

    Paths are relative to the repository's root. A file that is not valid YAML yields no manifest.
    """
    result = read_files(files)
    return list(result.manifests), list(result.problems)


def read_files(files: Mapping[str, bytes]) -> ReadResult:
    """As `read_documents`, with the invalid manifests."""
    if exceeded := list(check_limits(files)):
        return ReadResult([], sorted(exceeded), [InvalidManifest()])
    results = [read_file(path, files[path]) for path in sorted(files)]
    return ReadResult(
        [manifest for result in results for manifest in result.manifests],
        sorted(problem for result in results for problem in result.problems),
        [unread for result in results for unread in result.invalid],
    )


def check_limits(files: Mapping[str, bytes]) -> Iterator[Problem]:
    total = 0
    for index, path in enumerate(sorted(files), start=1):
        total += len(files[path])
        if index > MAX_FILES:
            yield Problem(path, 1, 1, f"more than {MAX_FILES} manifest files; join some of them with --- between")
            return
        if len(files[path]) > MAX_FILE:
            yield Problem(path, 1, 1, "larger than 1 MB; a manifest file is text of a few KB, keep data elsewhere")
        elif total > MAX_TOTAL:
            yield Problem(path, 1, 1, "all manifest files together are larger than 10 MB; keep data elsewhere")
            return


def read_file(path: str, content: bytes) -> ReadResult:
    try:
        roots = parse(content)
    except InvalidYaml as error:
        return ReadResult([], [Problem(path, error.line, error.column, error.message)], [InvalidManifest()])
    results = [(root, *read_manifest(path, root)) for root in roots]
    return ReadResult(
        [manifest for _, manifest, _ in results if manifest],
        [problem for *_, problems in results for problem in problems],
        [InvalidManifest.from_node(root) for root, manifest, _ in results if manifest is None],
    )
