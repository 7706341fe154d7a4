"""What `apply` was given: one app's PlatformApp, Repository and Secret declarations. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from libs.common.manifests import Manifest, PlatformApp, Problem, Repository, Secret, Unread, read_all, read_documents

ATTACHING = (PlatformApp, Repository, Secret)


@dataclass(frozen=True)
class Application:
    """`repository` is kept with its place in the file: what it refers to is checked against the app's secrets."""

    app: str
    platform: Manifest[Any] | None
    repository: Manifest[Any] | None
    secrets: tuple[Manifest[Any], ...]

    def dangling(self, known: Sequence[str]) -> list[Problem]:
        """Secrets that the Repository names and that neither this file nor the app (`known`) declares."""
        if self.repository is None:
            return []
        spec, names = self.repository.body.spec, {*known, *(secret.name for secret in self.secrets)}
        wanted = ((("spec", "credentials"), spec.credentials), (("spec", "webhook", "secret"), spec.webhook.secret))
        return [
            self.repository.problem(path, f'there is no Secret "{name}"; declare it in this file')
            for path, name in wanted
            if name is not None and name not in names
        ]


def read(file: str, body: bytes) -> tuple[Application | None, list[Problem]]:
    """The application and the warnings, or no application and every error; `file` is what the places name."""
    manifests, problems = read_documents({file: body})
    if not manifests and not problems:
        problems.append(Problem(file, 1, 1, "nothing to apply; send a PlatformApp, a Repository, Secret declarations"))
    problems += [*_misplaced(manifests), *_repeated(manifests)]
    if any(problem.severity == "error" for problem in problems):
        return None, sorted(problems)
    app = _app(manifests)
    problems += [*_nameless(manifests, app), *_strangers(manifests, app)]
    if app is None or any(problem.severity == "error" for problem in problems):
        return None, sorted(problems)
    return _application(app, manifests), problems


@dataclass(frozen=True)
class Applied:
    """What a deployment knows of an app to which some files were applied; `unread` are their documents with errors."""

    app: str | None
    secrets: tuple[str, ...]
    unread: tuple[Unread, ...]


def applied(files: Mapping[str, bytes]) -> tuple[Applied, list[Problem]]:
    """What is in these files, each as `apply` is given it, and what `apply` would say of it."""
    found, problems = read_all(files), [problem for file in files for problem in read(file, files[file])[1]]
    secrets = tuple(one.name for one in found.manifests if isinstance(one.body, Secret))
    return Applied(_app(found.manifests), secrets, tuple(found.unread)), sorted(problems)


def _application(app: str, manifests: Sequence[Manifest[Any]]) -> Application:
    return Application(
        app,
        platform=next((one for one in manifests if isinstance(one.body, PlatformApp)), None),
        repository=next((one for one in manifests if isinstance(one.body, Repository)), None),
        secrets=tuple(one for one in manifests if isinstance(one.body, Secret)),
    )


def _app(manifests: Sequence[Manifest[Any]]) -> str | None:
    """The PlatformApp's namespace, or what the others call theirs."""
    for manifest in manifests:
        if isinstance(manifest.body, PlatformApp):
            return manifest.body.namespace
    named = (manifest.body.metadata.namespace for manifest in manifests)
    return next((name for name in named if name is not None), None)


def _misplaced(manifests: Sequence[Manifest[Any]]) -> Iterator[Problem]:
    for manifest in manifests:
        if not isinstance(manifest.body, ATTACHING):
            sentence = f"{manifest.kind} belongs into the Git repository; apply takes PlatformApp, Repository, Secret"
            yield manifest.problem(("kind",), sentence)


def _repeated(manifests: Sequence[Manifest[Any]]) -> Iterator[Problem]:
    seen: set[tuple[str, str]] = set()
    for manifest in manifests:
        key = (manifest.kind, manifest.name if isinstance(manifest.body, Secret) else "")
        if key in seen:
            yield manifest.problem(("metadata", "name"), f"a second {manifest.kind} here; apply them one app at a time")
        seen.add(key)


def _nameless(manifests: Sequence[Manifest[Any]], app: str | None) -> Iterator[Problem]:
    if app is None:
        yield manifests[0].problem(("metadata",), "say for which app: add a PlatformApp, or metadata.namespace")


def _strangers(manifests: Sequence[Manifest[Any]], app: str | None) -> Iterator[Problem]:
    for manifest in manifests:
        own = manifest.body.metadata.namespace
        if own is not None and app is not None and own != app:
            sentence = f'namespace "{own}" is not that of this file\'s app; write "{app}" or leave it out'
            yield manifest.problem(("metadata", "namespace"), sentence)
