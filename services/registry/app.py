"""Composes the service: dependencies, background loops, routes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from libs.common.bus import Bus, open_bus
from libs.common.db import Database
from libs.common.http.app import ReadinessCheck, create_app
from libs.common.http.client import open_service_clients
from libs.common.http.public_client import open_public_http
from libs.common.messages import AccessChanged
from libs.common.periodic_task import PeriodicTask
from libs.common.settings import Settings, require_settings
from services.registry.accounts.passwords import PasswordChecks, SignInThrottle
from services.registry.app_creation import AppCreator
from services.registry.app_removal import AppRemover
from services.registry.commit_statuses.sender import StatusSender
from services.registry.delivery_log import DeliveryLog
from services.registry.dependencies import Dependencies
from services.registry.deployments.revision_reader import RevisionReader
from services.registry.deployments.worker import DeploymentWorker
from services.registry.due_work_scanner import DueWorkScanner
from services.registry.events import EventPublisher
from services.registry.git.address_policy import AddressPolicy
from services.registry.git.allowed_folders import AllowedFolders
from services.registry.git.cache import GitCache
from services.registry.git.client import GitClient
from services.registry.git.hosted_repositories import HostedRepositories
from services.registry.git.poller import Poller
from services.registry.git.remotes import RemoteResolver
from services.registry.hosting.maintenance import RepositoryMaintenance
from services.registry.hosting.push_check import PushChecker
from services.registry.hosting.push_hook import write_hook
from services.registry.hosting.push_receiver import PushReceiver
from services.registry.hosting.upload_pack import UploadPack
from services.registry.open_deliveries import OpenDeliveries
from services.registry.request_body import BodyReader
from services.registry.routes import (
    apply,
    apps,
    deliveries,
    deployments,
    diff,
    git,
    hooks,
    internal,
    keys,
    me,
    members,
    promotions,
    rekey,
    secrets,
    sessions,
    templates,
    tokens,
    users,
    validate,
)
from services.registry.secrets.reader import SecretReader
from services.registry.secrets.rekeying import CHECK_INTERVAL_S, warn_of_unreadable
from services.registry.secrets.source_reader import SecretSourceReader
from services.registry.secrets.vault import Vault
from services.registry.secrets.webhook_verification import WebhookVerifier

ROUTES = (
    apply,
    apps,
    deployments,
    diff,
    promotions,
    deliveries,
    secrets,
    rekey,
    keys,
    tokens,
    sessions,
    me,
    users,
    members,
    validate,
    templates,
    git,
    internal,
)
MAX_WEBHOOK_BYTES = 10_000_000
MAX_LARGE_WEBHOOKS = 8
WEBHOOK_WAIT_S = 2.0
"""How long one more large webhook waits for another to end: forges wait 5 s and more for the answer."""
WEBHOOK_TIMEOUT_S = 15.0
"""Within which the body of a webhook must be here; no forge waits longer."""


def create(settings: Settings, bus: Bus | None = None) -> FastAPI:
    """The ASGI app; opens a bus unless one is given. Raises BadSetting without the internal token or the secret key."""
    require_settings(settings, "internal_token", "secret_key")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _open_dependencies(settings, bus) as deps:
            app.state.dependencies = deps
            app.state.on_stop.append(deps.push_receiver.stop)
            yield

    def readiness_checks() -> Mapping[str, ReadinessCheck]:
        deps: Dependencies = app.state.dependencies
        return {"database": deps.database.ready}

    app = create_app(
        "registry",
        settings,
        lifespan=lifespan,
        checks=readiness_checks,
        hot_routes=hooks.ROUTES,
        hot_operations=hooks.operations,
    )
    for routes in ROUTES:
        app.include_router(routes.router)
    return app


@asynccontextmanager
async def _open_dependencies(settings: Settings, external_bus: Bus | None) -> AsyncIterator[Dependencies]:
    """Opens connections and starts the loops; both end with the service."""
    async with AsyncExitStack() as stack:
        bus = external_bus if external_bus is not None else await stack.enter_async_context(open_bus(settings.bus))
        peers = await stack.enter_async_context(open_service_clients(settings))
        database = Database(settings.database_url)
        stack.push_async_callback(database.close)
        group = await stack.enter_async_context(_open_task_group())
        vault = Vault(settings.secret_key, settings.secret_key_old)
        secret_reader, address_policy = SecretReader(database, vault), build_address_policy(settings)
        folder = settings.data / "registry"
        git = GitClient(folder / "home")
        git_cache = GitCache(folder / "git", git, address_policy)
        hosted = HostedRepositories(folder / "repositories", git, settings.public_url)
        group.create_task(git_cache.check_git_version(), name="git version")
        remotes, events = RemoteResolver(database, secret_reader, hosted), EventPublisher(bus, group)
        process_runtime = uses_process_runtime(settings)
        public_http = await stack.enter_async_context(open_public_http(settings.reachable_repository_networks))
        status_sender = StatusSender(database, secret_reader, public_http, settings.public_url, group)
        delivery_log, open_deliveries = DeliveryLog(database), OpenDeliveries()
        revisions = RevisionReader(database, git_cache, process_runtime, settings.app_domain is not None)
        deployment_worker = DeploymentWorker(
            database, git_cache, remotes, revisions, events, group, status_sender.wake, open_deliveries,
            settings.secret_sources,
        )  # fmt: skip

        def publish_access_change(app: str) -> None:
            """Notify the scheduler, and resume deployments that wait for a secret value."""
            events.publish_soon(AccessChanged(app=app))
            deployment_worker.wake()

        async def check_stored_values() -> None:
            await warn_of_unreadable(database, vault)

        value_check = PeriodicTask("stored values", check_stored_values, CHECK_INTERVAL_S)
        source_reader = SecretSourceReader(
            database, vault, secret_reader, settings.secret_sources, os.environ, publish_access_change
        )
        checker = PushChecker(database, git, hosted, process_runtime)
        push_receiver = PushReceiver(
            database, git, hosted, checker, write_hook(folder / "hooks"), settings.public_url, group,
            deployment_worker.wake,
        )  # fmt: skip
        maintenance = RepositoryMaintenance(hosted, push_receiver)
        poller = Poller(database, git_cache, remotes, deployment_worker.wake, group)
        app_remover = AppRemover(database, git_cache, hosted, peers.scheduler)
        app_creator = AppCreator(database, hosted, push_receiver.slots.is_held, deployment_worker.wake)
        scanner = DueWorkScanner(
            database,
            {
                "deployments": deployment_worker.loop, "polls": poller.loop,
                "commit statuses": status_sender.loop, "removals": app_remover.loop,
            },
        )  # fmt: skip
        for loop in (
            scanner.loop, deployment_worker.loop, poller.loop, app_remover.loop, maintenance.loop, status_sender.loop,
            source_reader.loop, value_check, delivery_log.loop, app_creator.loop,
        ):  # fmt: skip
            group.create_task(loop.run(), name=loop.name)
        yield Dependencies(
            settings=settings,
            database=database,
            vault=vault,
            secret_reader=secret_reader,
            address_policy=address_policy,
            git_cache=git_cache,
            hosted=hosted,
            upload_pack=UploadPack(git, hosted),
            push_receiver=push_receiver,
            remotes=remotes,
            revisions=revisions,
            status_sender=status_sender,
            deployment_worker=deployment_worker,
            app_creator=app_creator,
            app_remover=app_remover,
            events=events,
            peers=peers,
            webhook_verifier=WebhookVerifier(settings, database, secret_reader),
            delivery_log=delivery_log,
            open_deliveries=open_deliveries,
            publish_access_change=publish_access_change,
            passwords=PasswordChecks(),
            sign_in_throttle=SignInThrottle(),
            body_reader=BodyReader(MAX_WEBHOOK_BYTES, MAX_LARGE_WEBHOOKS, WEBHOOK_WAIT_S, WEBHOOK_TIMEOUT_S),
        )


class _ServiceStopped(Exception):
    """Cancels the background work when the service stops; the next start repeats it."""


@asynccontextmanager
async def _open_task_group() -> AsyncIterator[asyncio.TaskGroup]:
    try:
        async with asyncio.TaskGroup() as group:
            yield group
            raise _ServiceStopped
    except* _ServiceStopped:
        pass


def uses_process_runtime(settings: Settings) -> bool:
    """Whether workers run processes. Known only where the runtime is set, as `mlmesh up` does for every service."""
    return "runtime" in settings.model_fields_set and settings.runtime.startswith("process")


def build_address_policy(settings: Settings) -> AddressPolicy:
    """Excludes the mesh's own data folders: they hold files of all apps."""
    private_folders = [settings.data, settings.scratch_folder]
    if settings.store_url.startswith("file://"):
        private_folders.append(Path(settings.store_url.removeprefix("file://")))
    return AddressPolicy(
        AllowedFolders(settings.repository_folders, private_folders), settings.reachable_repository_networks
    )
