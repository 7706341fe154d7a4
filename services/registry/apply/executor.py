"""One `apply` carried out: everything of the file in one transaction, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from libs.common.db import Database, clock
from libs.common.errors import Conflict, Invalid
from libs.common.manifests import Problem
from services.registry.apply.request import Application
from services.registry.apps import GENERATED_KEY, App, Repository
from services.registry.checks.problems import shown
from services.registry.db import Connection, access_feed, apps, deployments, secrets
from services.registry.db.secrets import Secret
from services.registry.deployments.state import Cause
from services.registry.git.remotes import GENERATED
from services.registry.secrets import tokens
from services.registry.secrets.vault import Vault


def refused(problems: list[Problem]) -> Invalid:
    return Invalid(str(problems[0]), errors=[shown(problem) for problem in problems])


class Applying:
    """`public_url` is where the webhook's address begins."""

    def __init__(self, database: Database, vault: Vault, public_url: str, application: Application) -> None:
        self._database = database
        self._vault = vault
        self._public_url = public_url
        self._given = application
        self._app = application.app
        self._applied: list[dict[str, str]] = []
        self._answer: dict[str, Any] = {"app": application.app, "applied": self._applied}

    async def run(self) -> dict[str, Any]:
        async with self._database.write() as c:
            now = await clock(c)
            await self._platform(c, now)
            known = await secrets.listed(c, self._app)
            if problems := self._given.dangling(tuple(known)):
                raise refused(problems)
            await self._secrets(c, known, now)
            await self._repository(c, now)
            await access_feed.bump(c, self._app)
        return self._answer

    def _did(self, kind: str, name: str, before: object, after: object) -> bool:
        """Note it; whether there is something to write."""
        action = "created" if before is None else "unchanged" if before == after else "changed"
        self._applied.append({"kind": kind, "name": name, "action": action})
        return action != "unchanged"

    async def _platform(self, c: Connection, now: float) -> None:
        present = await apps.get(c, self._app, lock=True)
        if self._given.platform is None:
            if present is None:
                raise Invalid(f'there is no app "{self._app}" yet; add its PlatformApp to this file', errors=[])
            return
        wanted = App.of(self._given.platform.body)
        before = present.declared() if present else None
        if not self._did("PlatformApp", self._given.platform.name, before, wanted.declared()):
            return
        if present is not None:
            await apps.change(c, wanted)
            return
        if self._app in await apps.removing(c):
            raise Conflict(f'app "{self._app}" is still being removed; try again in a moment')
        await apps.add(c, wanted, now)

    async def _secrets(self, c: Connection, known: Mapping[str, Secret], now: float) -> None:
        for manifest in self._given.secrets:
            before = known[manifest.name].keys if manifest.name in known else None
            if self._did("Secret", manifest.name, before, manifest.body.spec.keys):
                await secrets.declare(c, self._app, manifest.name, manifest.body.spec.keys, now)

    async def _repository(self, c: Connection, now: float) -> None:
        if self._given.repository is None:
            return
        present = await apps.repository(c, self._app)
        wanted = Repository.of(self._app, self._given.repository.body)
        before = present.declared() if present else None
        if self._did("Repository", wanted.name, before, wanted.declared()):
            sealed = self._webhook(wanted, present.webhook_sealed if present else None)
            await apps.put_repository(c, replace(wanted, webhook_sealed=sealed, polled_at=now))
            await deployments.add(c, self._app, Cause.APPLY, now)

    def _webhook(self, wanted: Repository, sealed: bytes | None) -> bytes | None:
        """The generated secret as it is kept; a new one is shown in this answer and never again."""
        if wanted.webhook_secret is not None:
            return None
        if sealed is not None:
            return sealed
        made = tokens.make("mlmesh_hook")
        url = f"{self._public_url}/hooks/{self._app}"
        self._answer["webhook"] = {"url": url, "secret": made}
        return self._vault.seal(self._app, GENERATED, GENERATED_KEY, made)
