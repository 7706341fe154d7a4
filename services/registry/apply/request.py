"""The manifests of one `apply`: an app's PlatformApp, Repository and Secret declarations. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from libs.common.manifests import (
    InvalidManifest,
    Manifest,
    PlatformApp,
    Problem,
    Repository,
    Secret,
    read_documents,
    read_files,
)

APPLY_KINDS = (PlatformApp, Repository, Secret)


@dataclass(frozen=True)
class ApplyRequest:
    """`repository` keeps its position in the file, for problems with the secrets it refers to."""

    app: str
    platform: Manifest[Any] | None
    repository: Manifest[Any] | None
    secrets: tuple[Manifest[Any], ...]

    def check_repository_secrets(self, declared_names: Sequence[str]) -> list[Problem]:
        """Problems of secrets that the Repository names and neither this file nor the app declares."""
        if self.repository is None:
            return []
        spec, names = self.repository.body.spec, {*declared_names, *(secret.name for secret in self.secrets)}
        references = (
            (("spec", "credentials"), spec.credentials), (("spec", "webhook", "secret"), spec.webhook.secret),
            (("spec", "status", "credentials"), spec.status.credentials),
        )  # fmt: skip
        return [
            self.repository.problem_at(path, f'there is no Secret "{name}"; declare it in this file')
            for path, name in references
            if name is not None and name not in names
        ]


def parse_apply_request(file: str, body: bytes) -> tuple[ApplyRequest | None, list[Problem]]:
    """The request and its warnings, or None and every error; positions name `file`."""
    manifests, problems = read_documents({file: body})
    if not manifests and not problems:
        problems.append(Problem(file, 1, 1, "nothing to apply; send a PlatformApp, a Repository, Secret declarations"))
    problems += [*_check_kinds(manifests), *_check_duplicates(manifests)]
    if any(problem.severity == "error" for problem in problems):
        return None, sorted(problems)
    app = _find_namespace(manifests)
    problems += [*_check_app_named(manifests, app), *_check_namespace(manifests, app)]
    if app is None or any(problem.severity == "error" for problem in problems):
        return None, sorted(problems)
    return _build_request(app, manifests), problems


@dataclass(frozen=True)
class AppliedFiles:
    """What applied files say about an app, for checks offline; `unread` are documents with errors."""

    app: str | None
    secrets: tuple[str, ...]
    unread: tuple[InvalidManifest, ...]


def read_applied_files(files: Mapping[str, bytes]) -> tuple[AppliedFiles, list[Problem]]:
    """Read files as `apply` would, one request a file, and collect its problems."""
    manifest_set, problems = (
        read_files(files),
        [problem for file in files for problem in parse_apply_request(file, files[file])[1]],
    )
    secrets = tuple(manifest.name for manifest in manifest_set.manifests if isinstance(manifest.body, Secret))
    return AppliedFiles(_find_namespace(manifest_set.manifests), secrets, tuple(manifest_set.invalid)), sorted(problems)


def _build_request(app: str, manifests: Sequence[Manifest[Any]]) -> ApplyRequest:
    return ApplyRequest(
        app,
        platform=next((manifest for manifest in manifests if isinstance(manifest.body, PlatformApp)), None),
        repository=next((manifest for manifest in manifests if isinstance(manifest.body, Repository)), None),
        secrets=tuple(manifest for manifest in manifests if isinstance(manifest.body, Secret)),
    )


def _find_namespace(manifests: Sequence[Manifest[Any]]) -> str | None:
    """The PlatformApp's namespace, else the first one that another manifest names."""
    for manifest in manifests:
        if isinstance(manifest.body, PlatformApp):
            return manifest.body.namespace
    named = (manifest.body.metadata.namespace for manifest in manifests)
    return next((name for name in named if name is not None), None)


def _check_kinds(manifests: Sequence[Manifest[Any]]) -> Iterator[Problem]:
    for manifest in manifests:
        if not isinstance(manifest.body, APPLY_KINDS):
            sentence = f"{manifest.kind} belongs into the Git repository; apply takes PlatformApp, Repository, Secret"
            yield manifest.problem_at(("kind",), sentence)


def _check_duplicates(manifests: Sequence[Manifest[Any]]) -> Iterator[Problem]:
    seen: set[tuple[str, str]] = set()
    for manifest in manifests:
        key = (manifest.kind, manifest.name if isinstance(manifest.body, Secret) else "")
        if key in seen:
            yield manifest.problem_at(
                ("metadata", "name"), f"a second {manifest.kind} here; apply them one app at a time"
            )
        seen.add(key)


def _check_app_named(manifests: Sequence[Manifest[Any]], app: str | None) -> Iterator[Problem]:
    if app is None:
        yield manifests[0].problem_at(("metadata",), "say for which app: add a PlatformApp, or metadata.namespace")


def _check_namespace(manifests: Sequence[Manifest[Any]], app: str | None) -> Iterator[Problem]:
    for manifest in manifests:
        namespace = manifest.body.metadata.namespace
        if namespace is not None and app is not None and namespace != app:
            sentence = f'namespace "{namespace}" is not that of this file\'s app; write "{app}" or leave it out'
            yield manifest.problem_at(("metadata", "namespace"), sentence)
