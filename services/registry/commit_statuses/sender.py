"""Sends commit statuses to forges, from the rows that the deployments' transactions wrote.

A status is sent at least once, and those of one commit in order: a row is claimed before it is sent. What changes while
a status is on its way is sent after it; what changes before, in its place.
"""

from __future__ import annotations

import asyncio
import math
import time
from functools import partial

import aiohttp

from libs.common import log
from libs.common.db import Database, database_time
from libs.common.http.addresses import PrivateAddressError
from libs.common.http.public_client import PublicHttpClient
from libs.common.periodic_task import PeriodicTask
from services.registry.commit_statuses.annotation_sender import send_annotations
from services.registry.commit_statuses.status_route import MissingToken, StatusRoute, UnknownForge, find_route
from services.registry.db import apps, commit_statuses
from services.registry.db.commit_statuses import OutgoingStatus
from services.registry.forges.commit_status import CommitState, CommitStatus
from services.registry.forges.status_answers import Outcome, StatusResult, judge_answer
from services.registry.forges.status_apis import UnknownAddress
from services.registry.git.address_policy import NETWORK_NOT_ALLOWED
from services.registry.keyed_executor import KeyedExecutor
from services.registry.secrets.reader import SecretReader

MAX_CONCURRENT_APPS = 64
MAX_CONCURRENT_RETRIES = 8
"""Apps whose forge failed before: one that does not answer holds a place until the request times out."""
FIRST_RETRY_S = 2.0
MAX_RETRY_S = 300.0
"""Exponential back-off, unless the forge says how long to wait."""
MAX_FAILING_S = 3600.0
MISSING_TOKEN_RETRY_S = 5.0
NOTHING_TO_SEND = StatusResult(Outcome.SENT)
MAX_ERROR = 500
"""Characters."""


class StatusSender:
    def __init__(
        self,
        database: Database,
        secret_reader: SecretReader,
        public_http: PublicHttpClient,
        public_url: str,
        group: asyncio.TaskGroup,
    ) -> None:
        self._database = database
        self._secret_reader = secret_reader
        self._public_http = public_http
        self._public_url = public_url
        self._first_tries = KeyedExecutor("commit statuses", group, MAX_CONCURRENT_APPS, self.wake)
        self._retries = KeyedExecutor("retries of commit statuses", group, MAX_CONCURRENT_RETRIES, self.wake)
        self.loop = PeriodicTask("commit statuses", self._start_due, math.inf)

    def wake(self) -> None:
        self.loop.wake()

    async def _start_due(self) -> None:
        async with self._database.read() as conn:
            seconds_left = await commit_statuses.seconds_until_due(conn)
            is_due = seconds_left is not None and seconds_left <= 0
            due = await commit_statuses.list_due_apps(conn, await database_time(conn)) if is_due else {}
        for app, has_failed in due.items():
            (self._retries if has_failed else self._first_tries).submit(app, partial(self._send_due, app))
        if seconds_left is not None and seconds_left > 0:
            self.loop.run_within(seconds_left)

    async def _send_due(self, app: str) -> None:
        while (status := await self._claim(app)) is not None:
            await self._send(status)
        self.wake()

    async def _claim(self, app: str) -> OutgoingStatus | None:
        async with self._database.write() as conn:
            return await commit_statuses.claim(conn, app, await database_time(conn))

    async def _send(self, status: OutgoingStatus) -> None:
        secret, route = None, None
        try:
            route = await find_route(self._database, self._secret_reader, status.app)
        except UnknownForge as error:
            result = StatusResult(Outcome.REFUSED, error.detail)
        except MissingToken as error:
            result = StatusResult(Outcome.RETRY, error.detail, MISSING_TOKEN_RETRY_S)
        else:
            secret = None if route is None else route.secret
            result = NOTHING_TO_SEND if route is None else await self._post(route, status)
        await self._record_result(status, result, secret)
        if route is not None and result.outcome is Outcome.SENT and status.state == CommitState.FAILURE:
            await send_annotations(self._database, self._public_http, route, status, self._describe(status))

    async def _post(self, route: StatusRoute, status: OutgoingStatus) -> StatusResult:
        try:
            request = route.api.build_request(route.address, route.token, self._describe(status))
            answer = await self._public_http.send(request.method, request.url, request.body, request.headers)
        except UnknownAddress as error:
            return StatusResult(Outcome.STOP, str(error))
        except PrivateAddressError:
            why = NETWORK_NOT_ALLOWED.format(host=route.address.host)
            return StatusResult(Outcome.REFUSED, why)
        except (OSError, aiohttp.ClientError, TimeoutError, ValueError) as error:
            why = str(error) or type(error).__name__
            return StatusResult(Outcome.RETRY, f"{route.api.title} was not reached for a commit status: {why}")
        return judge_answer(route.api, answer.status, answer.headers, answer.body, time.time())

    def _describe(self, status: OutgoingStatus) -> CommitStatus:
        url = f"{self._public_url}/api/v1/apps/{status.app}/deployments/{status.deployment}"
        state = CommitState(status.state)
        return CommitStatus(status.commit_id, state, status.description, f"mlmesh/{status.app}", url)

    async def _record_result(self, status: OutgoingStatus, result: StatusResult, secret: str | None) -> None:
        """`secret`: the one whose token was used, or None."""
        error = result.error[:MAX_ERROR] if result.error is not None else None
        async with self._database.write() as conn:
            now = await database_time(conn)
            failing_since = status.failing_since or now
            if result.outcome is Outcome.RETRY and now - failing_since < MAX_FAILING_S:
                pause = result.retry_after or min(FIRST_RETRY_S * 2**status.tries, MAX_RETRY_S)
                await commit_statuses.retry_at(conn, status, now + pause, failing_since)
            else:
                await commit_statuses.finish(conn, status)
            if result.outcome is Outcome.RETRY:
                await commit_statuses.give_up(conn, status.app, now - MAX_FAILING_S)
            refused = {"refused_secret": secret} if result.outcome is Outcome.STOP else {}
            if result is not NOTHING_TO_SEND:
                await apps.update_repository(conn, status.app, status_error=error, **refused)
        if result.outcome is not Outcome.SENT:
            fields = {"app": status.app, "commit": status.commit_id, "why": error}
            log.get("registry").warning("Commit status not delivered", **fields)
