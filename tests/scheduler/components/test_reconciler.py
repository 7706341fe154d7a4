"""Rollouts, one step at a time."""

from __future__ import annotations

from libs.common.db import Database
from libs.common.http.client import open_service_clients
from libs.common.settings import Settings
from services.scheduler.components import reconciler, rollout_controller
from services.scheduler.components.image_builds import BuildSettings
from services.scheduler.db import apps, metadata, rollouts
from services.scheduler.live_catalog_cache import LiveCatalogCache
from services.scheduler.long_poll_notifier import LongPollNotifier
from services.scheduler.loop_triggers import LoopTriggers
from services.scheduler.model.rollout import Rollout
from tests.scheduler.conftest import run_fake_services
from tests.scheduler.manifests import catalog_json


async def test_a_revision_that_comes_in_while_another_step_is_under_way_is_prepared_first(
    database_url: str,
) -> None:
    """Its boxes are made before anything is said of it."""
    database = Database(database_url)
    await database.create_all(metadata)
    fresh = Rollout(deployment="d1", app="leaf", commit="c", status="starting", catalog=catalog_json(), created_at=1.0)
    async with run_fake_services() as (url, _):
        settings = Settings.from_values(database=database_url, internal_token="t", registry_url=url, databox_url=url)
        async with open_service_clients(settings) as peers:
            async with database.write() as c:
                await apps.put(c, "leaf", {})
            async with database.write() as c:
                assert await rollouts.add_rollout(c, fresh)
                assert (await rollout_controller.evaluate_rollout(c, "leaf")).app.catalog is None
            async with database.read() as c:
                assert [list(one.steps) for one in await rollouts.list_active_rollouts(c, "leaf")] == [[]]
            catalogs = LiveCatalogCache(database)
            app_reconciler = reconciler.Reconciler(
                database, peers, catalogs, LongPollNotifier(), LoopTriggers(1.0), BuildSettings("python:3.12")
            )
            await app_reconciler.reconcile_app("leaf")
            async with database.read() as c:
                (after,) = await rollouts.list_active_rollouts(c, "leaf")
            assert [step.name for step in after.steps] == ["boxes", "start"]
    await database.close()
