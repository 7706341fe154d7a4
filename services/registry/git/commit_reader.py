"""Reads the files of commits in a bare repository."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from libs.common.dockerfile import READ_FILES
from libs.common.manifests.reading import MAX_FILE
from services.registry.checks.builds import BuildContext
from services.registry.git.client import GitClient
from services.registry.git.tree import (
    REGULAR_FILE_MODES,
    TreeContents,
    TreeEntry,
    build_contents,
    parse_blobs,
    parse_entries,
    select_manifests,
    take_within_limit,
)

READ_TIMEOUT_S = 20.0
MAX_ENTRIES = 10_000
"""Paths of one commit that are searched for warnings."""
MAX_READ_BYTES = 4 * 2**20
"""Content of one commit that is read for warnings."""
LIST_TREE = ("ls-tree", "-r", "-l", "-z", "--full-tree")


@dataclass(frozen=True)
class CommitReader:
    """`environment` names further places of objects, such as those of a push that is not accepted yet."""

    git: GitClient
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    async def read_manifests(self, commit: str, path: str) -> dict[str, bytes]:
        """The manifests below `path`, by path in the repository. Raises InvalidRevision before reading too much."""
        pathspec = () if path == "." else ("--", path)
        listing = await self._run(*LIST_TREE, commit, *pathspec)
        return await self._read_blobs(select_manifests(list(parse_entries(listing)), path, commit))

    async def read_tree_contents(self, commit: str) -> TreeContents:
        """The links and package files of the tree, for warnings. Raises GitFailed, TimeoutError."""
        entries = await self._list_relevant_entries(commit)
        readable = take_within_limit([entry for entry in entries if entry.needs_content], MAX_READ_BYTES)
        return build_contents(entries, await self._read_blobs(readable))

    async def read_build_contexts(self, commit: str, folders: Mapping[str, Sequence[str]]) -> dict[str, BuildContext]:
        """Those of `folders` that exist; of each the files at its top, and those of the paths in it that are given.

        Raises GitFailed, TimeoutError.
        """
        trees = {folder: await self._find_tree(commit, folder) for folder in folders}
        return {folder: await self._read_context(tree, folders[folder]) for folder, tree in trees.items() if tree}

    async def _find_tree(self, commit: str, folder: str) -> str | None:
        if folder == ".":
            return (await self._run("rev-parse", "--verify", f"{commit}^{{tree}}")).decode().strip()
        listing = await self._run("ls-tree", "-d", "-z", "--full-tree", commit, "--", folder)
        return listing.split()[2].decode() if listing else None

    async def _read_context(self, tree: str, paths: Sequence[str]) -> BuildContext:
        listing = await self._run("ls-tree", "-l", "-z", tree)
        if below := [path for path in paths if "/" in path]:
            listing += await self._run("ls-tree", "-l", "-z", tree, "--", *below)
        files = [entry for entry in parse_entries(listing) if entry.mode in REGULAR_FILE_MODES]
        texts = await self._read_blobs(
            [entry for entry in files if entry.path in READ_FILES and entry.size <= MAX_FILE]
        )
        return BuildContext(tree, {entry.path: texts.get(entry.path, b"") for entry in files})

    async def _list_relevant_entries(self, commit: str) -> list[TreeEntry]:
        """At most MAX_ENTRIES entries, of a tree of any size."""
        entries, remainder = list[TreeEntry](), b""
        async with aclosing(self.git.stream(*LIST_TREE, commit, folder=self.folder, timeout=READ_TIMEOUT_S)) as chunks:
            async for chunk in chunks:
                complete_lines, _, remainder = (remainder + chunk).rpartition(b"\0")
                entries += (entry for entry in parse_entries(complete_lines) if entry.is_relevant)
                if len(entries) >= MAX_ENTRIES:
                    break
        return entries[:MAX_ENTRIES]

    async def _read_blobs(self, entries: list[TreeEntry]) -> dict[str, bytes]:
        object_ids = "".join(f"{entry.oid}\n" for entry in entries).encode()
        output = await self._run("cat-file", "--batch", stdin_data=object_ids)
        return dict(parse_blobs(output, entries))

    async def _run(self, *arguments: str, stdin_data: bytes = b"") -> bytes:
        return await self.git.run(
            *arguments, folder=self.folder, environment=self.environment, stdin_data=stdin_data, timeout=READ_TIMEOUT_S
        )
