"""Pushes, syncs, rollbacks and deliveries in any order: at the end the newest head or a later rollback is live."""

import itertools
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.registry.conftest import ApiResponse, Registry, poll_until
from tests.registry.routes.test_hooks import Forge
from tests.registry.working_copy import MODULE, WorkingCopy

NUMBERS = itertools.count()
OPEN = ("pending", "starting")


@dataclass
class Scenario:
    """An app, the actions on it, and the commit that must be live at the end."""

    registry: Registry
    app: str
    work: WorkingCopy
    forge: Forge
    commits: list[str]
    expected_commit: str
    head: str
    """The last pushed commit."""
    responses: list[tuple[ApiResponse, str]] = field(default_factory=list)

    async def run_step(self, step: str) -> None:
        await getattr(self, step)()

    async def push(self) -> None:
        self.commits.append(self.work.commit({}, f"number {len(self.commits)}"))
        await self._deliver_head()

    async def push_back(self) -> None:
        """Force-push the first commit."""
        self.work.git("reset", "--quiet", "--hard", self.commits[0])
        await self._deliver_head()

    async def push_forth(self) -> None:
        """Force-push the newest commit that ever existed."""
        self.work.git("reset", "--quiet", "--hard", self.commits[-1])
        await self._deliver_head()

    async def _deliver_head(self) -> None:
        """Deliver the head; an unchanged head is a redelivery, which must not undo a rollback."""
        head = self.work.git("rev-parse", "HEAD")
        if head != self.head:
            self.head = self.expected_commit = head
        answer = await self.forge.push(head)
        assert answer.status in (200, 202)
        self.responses.append((answer, head))

    async def late(self) -> None:
        """Redeliver the first push."""
        await self.forge.push(self.commits[0])

    async def unknown(self) -> None:
        """Deliver a push without a commit."""
        await self.forge.push(None)

    async def sync(self) -> None:
        self.expected_commit = self.work.git("rev-parse", "HEAD")
        assert (await self.registry.call("POST", f"/api/v1/apps/{self.app}/sync")).status == 202

    async def rollback(self) -> None:
        answer = await self.registry.call("POST", f"/api/v1/apps/{self.app}/rollback", {"commit": self.commits[0]})
        assert answer.status == 202
        self.expected_commit = self.commits[0]

    async def settle(self) -> None:
        """Report deployments as live, as the scheduler does, until none is open."""
        newest = f"/api/v1/apps/{self.app}/deployments"

        async def list_open() -> list[str]:
            listed = (await self.registry.get(newest))["items"]
            for deployment in (deployment for deployment in reversed(listed) if deployment["status"] == "starting"):
                await self.registry.report(deployment["id"], status="live")
            return [deployment["id"] for deployment in listed if deployment["status"] in OPEN]

        await poll_until(list_open, lambda open_ids: not open_ids)

    async def get_live_commit(self) -> str:
        return str((await self.registry.get(f"/api/v1/apps/{self.app}"))["live"]["commit"])


async def start_scenario(registry: Registry, folder: Path) -> Scenario:
    number = next(NUMBERS)
    app, work = f"app-{number}", WorkingCopy(folder / f"module-{number}")
    first = work.commit(MODULE, "the first version")
    answer = await registry.apply(work, app, pollInterval="1h")
    await registry.make_live(app)
    forge = Forge(registry, answer.body["webhook"]["secret"], app)
    return Scenario(registry, app, work, forge, [first], first, first)


STEPS = ("push", "push_back", "push_forth", "late", "unknown", "sync", "rollback", "settle")


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@example(["sync", "rollback", "push"])
@example(["push", "rollback", "unknown"])
@example(["push", "settle", "rollback", "unknown"])
@example(["push", "settle", "rollback", "settle", "push", "push_back"])
@example(["push", "settle", "rollback", "push_back", "push_forth"])
@example(["push", "settle", "rollback", "late", "push"])
@example(["push", "rollback", "push_forth"])
@given(st.lists(st.sampled_from(STEPS), min_size=3, max_size=8))
async def test_the_newest_head_or_the_rollback_behind_it_is_live_in_the_end(
    registry: Registry, tmp_path: Path, steps: list[str]
) -> None:
    story = await start_scenario(registry, tmp_path)
    for step in steps:
        await story.run_step(step)
    await story.settle()
    assert await story.get_live_commit() == story.expected_commit


@pytest.mark.parametrize("earlier", [[], ["sync"], ["push"], ["push", "settle"]])
async def test_a_push_right_behind_a_rollback_is_answered_with_its_own_deployment(
    registry: Registry, tmp_path: Path, earlier: list[str]
) -> None:
    story = await start_scenario(registry, tmp_path)
    for step in (*earlier, "rollback", "push", "settle"):
        await story.run_step(step)
    answer, pushed = story.responses[-1]
    assert answer.status == 202
    deployment = await registry.get(f"/api/v1/apps/{story.app}/deployments/{answer.body['id']}")
    assert (deployment["commit"], deployment["status"], deployment["trigger"]) == (pushed, "live", "push")


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(["sync", "rollback"])
@given(st.lists(st.sampled_from(("sync", "rollback", "settle")), max_size=4))
async def test_polling_finds_what_was_pushed_behind_a_rollback(
    registry: Registry, tmp_path: Path, steps: list[str]
) -> None:
    story = await start_scenario(registry, tmp_path)
    await registry.apply(story.work, story.app, pollInterval="1s")
    for step in (*steps, "rollback"):
        await story.run_step(step)
    pushed = story.work.commit({}, "behind the rollback")

    async def live() -> str:
        await story.settle()
        return await story.get_live_commit()

    await poll_until(live, lambda commit: commit == pushed)
