"""Verifies that a webhook delivery comes from who knows the webhook's secret, or may deploy the app."""

from __future__ import annotations

import asyncio
import time

from libs.common.db import Database
from libs.common.errors import Unauthorized
from libs.common.settings import Settings
from services.registry.apps import Repository
from services.registry.forges.forge_table import Forge
from services.registry.forges.incoming_delivery import IncomingDelivery
from services.registry.forges.proofs import is_header_equal, is_proven
from services.registry.forges.refusals import describe_secret_problem, list_presented_proofs, refuse_delivery
from services.registry.secrets.reader import SecretReader
from services.registry.secrets.verification import authenticate_token

MAX_INLINE_BYTES = 64_000
"""A larger body is verified in a thread."""


class WebhookVerifier:
    def __init__(self, settings: Settings, database: Database, secret_reader: SecretReader) -> None:
        self._settings = settings
        self._database = database
        self._secret_reader = secret_reader

    async def verify(self, repository: Repository, forge: Forge, delivery: IncomingDelivery) -> None:
        """One valid proof is enough, whatever else the delivery carries. Raises UnprovenDelivery."""
        secret = await self._secret_reader.get_webhook_secret(repository)
        if await _is_proven(forge, delivery, secret):
            return
        token, token_error = delivery.bearer_token, None
        if token is not None:
            token_error = await self._find_token_error(repository.app, token, secret)
            if token_error is None:
                return
        raise refuse_delivery(forge, delivery, token_error)

    async def find_secret_problem(self, repository: Repository, forge: Forge, delivery: IncomingDelivery) -> str | None:
        """Why no delivery of this kind can be proven with the secret that is stored here."""
        secret = await self._secret_reader.get_webhook_secret(repository)
        return describe_secret_problem(secret, list_presented_proofs(forge, delivery))

    async def _find_token_error(self, app: str, token: str, secret: str) -> str | None:
        if secret and is_header_equal(token, secret):
            return None
        try:
            caller, _ = await authenticate_token(self._settings, self._database, token)
        except Unauthorized as error:
            return error.detail
        return None if caller.has_scope("develop", app) else "this token cannot deploy this app"


async def _is_proven(forge: Forge, delivery: IncomingDelivery, secret: str) -> bool:
    if len(delivery.body) <= MAX_INLINE_BYTES:
        return is_proven(forge.proofs, delivery, secret, time.time())
    return await asyncio.to_thread(is_proven, forge.proofs, delivery, secret, time.time())
