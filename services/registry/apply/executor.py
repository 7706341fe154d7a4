"""Executes one apply request in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from libs.common.db import Database, database_time
from libs.common.errors import Conflict, Invalid
from libs.common.manifests import Problem
from services.registry.apply.request import ApplyRequest
from services.registry.apps import WEBHOOK_KEY, App, Repository
from services.registry.checks.problems import problem_to_json
from services.registry.db import Connection, access_feed, apps, deployments, secrets
from services.registry.db.secrets import Secret
from services.registry.deployments.state import DeploymentTrigger
from services.registry.secrets import tokens
from services.registry.secrets.reader import GENERATED_WEBHOOK
from services.registry.secrets.vault import Vault


def invalid_from_problems(problems: list[Problem]) -> Invalid:
    return Invalid(str(problems[0]), errors=[problem_to_json(problem) for problem in problems])


class ApplyExecutor:
    """`public_url` is the base of the webhook's URL."""

    def __init__(self, database: Database, vault: Vault, public_url: str, request: ApplyRequest) -> None:
        self._database = database
        self._vault = vault
        self._public_url = public_url
        self._request = request
        self._app = request.app
        self._actions: list[dict[str, str]] = []
        self._response: dict[str, Any] = {"app": request.app, "applied": self._actions}

    async def run(self) -> dict[str, Any]:
        async with self._database.write() as conn:
            now = await database_time(conn)
            await self._apply_platform_app(conn, now)
            declared = await secrets.list_secrets(conn, self._app)
            if problems := self._request.check_repository_secrets(tuple(declared)):
                raise invalid_from_problems(problems)
            await self._apply_secrets(conn, declared, now)
            await self._apply_repository(conn, now)
            await access_feed.record_change(conn, self._app)
        return self._response

    def _record_action(self, kind: str, name: str, current: object, desired: object) -> bool:
        """Add the manifest to the response; whether there is something to write."""
        action = "created" if current is None else "unchanged" if current == desired else "changed"
        self._actions.append({"kind": kind, "name": name, "action": action})
        return action != "unchanged"

    async def _apply_platform_app(self, conn: Connection, now: float) -> None:
        app = await apps.get(conn, self._app, lock=True)
        if self._request.platform is None:
            if app is None:
                raise Invalid(f'there is no app "{self._app}" yet; add its PlatformApp to this file', errors=[])
            return
        desired = App.from_manifest(self._request.platform.body)
        current = app.declared_fields() if app else None
        if not self._record_action("PlatformApp", self._request.platform.name, current, desired.declared_fields()):
            return
        if app is not None:
            await apps.update_app(conn, desired)
            return
        if self._app in await apps.list_removing(conn):
            raise Conflict(f'app "{self._app}" is still being removed; try again in a moment')
        await apps.add(conn, desired, now)

    async def _apply_secrets(self, conn: Connection, declared: Mapping[str, Secret], now: float) -> None:
        for manifest in self._request.secrets:
            current = declared[manifest.name].keys if manifest.name in declared else None
            if self._record_action("Secret", manifest.name, current, manifest.body.spec.keys):
                await secrets.declare(conn, self._app, manifest.name, manifest.body.spec.keys, now)

    async def _apply_repository(self, conn: Connection, now: float) -> None:
        if self._request.repository is None:
            return
        repository = await apps.get_repository(conn, self._app)
        desired = Repository.from_manifest(self._app, self._request.repository.body)
        current = repository.declared_fields() if repository else None
        if self._record_action("Repository", desired.name, current, desired.declared_fields()):
            encrypted = self._ensure_webhook_secret(
                desired, repository.encrypted_webhook_secret if repository else None
            )
            await apps.put_repository(conn, replace(desired, encrypted_webhook_secret=encrypted, polled_at=now))
            await deployments.add(conn, self._app, DeploymentTrigger.APPLY, now)

    def _ensure_webhook_secret(self, desired: Repository, encrypted: bytes | None) -> bytes | None:
        """The encrypted webhook secret; a new one is in this response and never shown again."""
        if desired.webhook_secret is not None:
            return None
        if encrypted is not None:
            return encrypted
        secret = tokens.new_token("mlmesh_hook")
        url = f"{self._public_url}/hooks/{self._app}"
        self._response["webhook"] = {"url": url, "secret": secret}
        return self._vault.encrypt(self._app, GENERATED_WEBHOOK, WEBHOOK_KEY, secret)
