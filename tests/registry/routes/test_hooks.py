"""Webhooks as forges send them, against the running service."""

import hashlib
import hmac
import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from libs.common import identity
from services.registry.routes.hooks import AUTHORIZATION
from tests.registry.conftest import ApiResponse, Registry, poll_until
from tests.registry.working_copy import COMPONENT, WorkingCopy


class Forge:
    """Sends deliveries in GitHub's format."""

    def __init__(self, registry: Registry, secret: str, app: str = "leafscan") -> None:
        self.registry = registry
        self.secret = secret
        self.app = app
        self.sent = 0

    async def push(self, commit: str | None, delivery: str | None = None, **fields: Any) -> ApiResponse:
        return await self.send({"ref": "refs/heads/main", "after": commit, **fields}, delivery=delivery)

    async def send(
        self, document: Any, event: str = "push", delivery: str | None = None, app: str | None = None
    ) -> ApiResponse:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.sent += 1
        digest = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "X-Hub-Signature-256": f"sha256={digest}",
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": delivery or f"delivery-{self.sent}",
        }
        return await self.registry.call("POST", f"/hooks/{app or self.app}", body, headers)


async def attach_app(registry: Registry, working_copy: WorkingCopy) -> Forge:
    """Apply an app and make its first commit live; polling is effectively off."""
    answer = await registry.apply(working_copy, pollInterval="1h")
    assert answer.body["webhook"]["url"] == "http://127.0.0.1:8000/hooks/leafscan"
    await registry.make_live()
    return Forge(registry, answer.body["webhook"]["secret"])


async def test_a_push_is_accepted_at_once_and_deployed(each_registry: Registry, working_copy: WorkingCopy) -> None:
    forge = await attach_app(each_registry, working_copy)
    second = working_copy.commit({})
    answer = await forge.push(second)
    assert answer.status == 202
    assert answer.headers["Location"] == f"/api/v1/apps/leafscan/deployments/{answer.body['id']}"
    deployment = await each_registry.wait_for_status("starting", deployment=answer.body["id"])
    assert (deployment["trigger"], deployment["commit"]) == ("push", second)
    assert deployment["caused_by"] == "webhook of GitHub"


async def test_a_push_is_a_line_of_the_log(registry: Registry, working_copy: WorkingCopy) -> None:
    forge = await attach_app(registry, working_copy)
    commit = working_copy.commit({})
    with capture_logs() as lines:
        response = await forge.push(commit)
    assert [line for line in lines if line["event"] == "Push received"] == [
        {"event": "Push received", "log_level": "info", "logger_name": "registry", "app": "leafscan", "branch": "main",
         "commit": commit, "deployment": response.body["id"], "status": 202},
    ]  # fmt: skip


async def test_an_unknown_app_is_404_before_anything_else(registry: Registry) -> None:
    assert (await Forge(registry, "x").send(b"x" * 2_000_000, app="nobody")).status == 404


async def test_a_body_over_10_mb_is_413_before_its_signature_counts(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    forge = await attach_app(registry, working_copy)
    forge.secret = "wrong"
    assert (await forge.send(b"x" * 10_000_001)).status == 413
    assert (await forge.send(b"x" * 10_000_000)).status == 401


async def test_a_push_of_10_mb_is_deployed(registry: Registry, working_copy: WorkingCopy) -> None:
    forge = await attach_app(registry, working_copy)
    document = json.dumps({"ref": "refs/heads/main", "after": working_copy.commit({}), "commits": []})
    body = document.replace("[]", '["' + "x" * (10_000_000 - len(document) - 2) + '"]').encode()
    assert len(body) == 10_000_000
    assert (await forge.send(body)).status == 202


async def test_a_bad_signature_is_401_and_deploys_nothing(registry: Registry, working_copy: WorkingCopy) -> None:
    forge = await attach_app(registry, working_copy)
    valid_secret, forge.secret = forge.secret, "wrong"
    answer = await forge.push(working_copy.commit({}), delivery="one")
    assert answer.status == 401
    assert valid_secret not in str(answer.body)
    forge.secret = ""
    assert (await forge.push(working_copy.commit({}), delivery="one")).status == 401
    assert len((await registry.get("/api/v1/apps/leafscan/deployments"))["items"]) == 1
    forge.secret = valid_secret
    assert (await forge.push(working_copy.commit({}), delivery="one")).status == 202


async def test_an_unsigned_delivery_is_401(registry: Registry, working_copy: WorkingCopy) -> None:
    await attach_app(registry, working_copy)
    body = {"ref": "refs/heads/main"}
    assert (await registry.call("POST", "/hooks/leafscan", body, {})).status == 401
    assert (await registry.call("POST", "/hooks/leafscan", body, {AUTHORIZATION: "Bearer nonsense"})).status == 401
    assert (await registry.call("POST", "/hooks/leafscan", body, {AUTHORIZATION: "Bearer "})).status == 401


async def test_a_known_delivery_is_200_with_what_it_deployed(
    each_registry: Registry, working_copy: WorkingCopy
) -> None:
    forge = await attach_app(each_registry, working_copy)
    second = working_copy.commit({})
    first = await forge.push(second, delivery="one")
    repeated = await forge.push(second, delivery="one")
    assert (first.status, repeated.status) == (202, 200)
    assert repeated.body["id"] == first.body["id"]
    assert len((await each_registry.get("/api/v1/apps/leafscan/deployments"))["items"]) == 2


async def test_a_ping_is_answered(registry: Registry, working_copy: WorkingCopy) -> None:
    forge = await attach_app(registry, working_copy)
    answer = await forge.send({"zen": "Design for failure.", "hook_id": 1}, event="ping")
    assert (answer.status, answer.body) == (200, {"status": "pong"})


@pytest.mark.parametrize("app", ["leafscan", "nobody"])
async def test_data_centers_unsigned_test_is_answered_and_says_nothing_of_the_app(
    registry: Registry, working_copy: WorkingCopy, app: str
) -> None:
    await attach_app(registry, working_copy)
    headers = {"X-Event-Key": "diagnostics:ping"}
    answer = await registry.call("POST", f"/hooks/{app}", {"test": True}, headers)
    assert (answer.status, answer.body) == (200, {"status": "pong"})
    assert (await registry.get("/api/v1/apps/leafscan/deliveries"))["items"] == []
    signed = await registry.call(
        "POST", f"/hooks/{app}", {"test": True}, {**headers, "X-Hub-Signature": "sha256=" + "0" * 64}
    )
    assert signed.status == (401 if app == "leafscan" else 404)


@pytest.mark.parametrize(
    ("event", "document"),
    [
        ("push", {"ref": "refs/heads/other", "after": "1" * 40}),
        ("push", {"ref": "refs/tags/v1", "after": "1" * 40}),
        ("push", {"ref": "refs/heads/main", "after": "0" * 40, "deleted": True}),
        ("issues", {"action": "opened"}),
    ],
    ids=["other branch", "tag", "deletion", "other event"],
)
async def test_what_does_not_concern_the_branch_is_204(
    registry: Registry, working_copy: WorkingCopy, event: str, document: dict[str, Any]
) -> None:
    forge = await attach_app(registry, working_copy)
    answer = await forge.send(document, event=event)
    assert (answer.status, answer.body) == (204, b"")
    assert len((await registry.get("/api/v1/apps/leafscan/deployments"))["items"]) == 1


async def test_a_signed_body_that_is_no_json_is_400(registry: Registry, working_copy: WorkingCopy) -> None:
    forge = await attach_app(registry, working_copy)
    assert (await forge.send(b"nonsense")).status == 400


async def test_a_push_of_the_live_commit_is_200_with_the_live_deployment(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    forge = await attach_app(registry, working_copy)
    answer = await forge.push(working_copy.git("rev-parse", "HEAD"))
    assert answer.status == 200
    assert (answer.body["status"], answer.body["commit"]) == ("live", working_copy.git("rev-parse", "HEAD"))
    assert answer.body["steps"] == (await registry.get_newest())["steps"] != []


async def test_an_older_push_that_arrives_late_does_not_go_live(registry: Registry, working_copy: WorkingCopy) -> None:
    forge = await attach_app(registry, working_copy)
    first = working_copy.git("rev-parse", "HEAD")
    second = working_copy.commit({})
    await forge.push(second)
    live = await registry.make_live()
    late = await forge.push(first)
    assert (late.status, late.body["id"], late.body["steps"]) == (200, live["id"], live["steps"])
    never_seen = await forge.push("e" * 40)
    assert never_seen.status == 202
    ended = await registry.wait_for_status("superseded", "starting", deployment=never_seen.body["id"])
    assert ended["status"] == "superseded"
    assert "no new commit" in ended["steps"][0]["detail"]
    assert (await registry.get("/api/v1/apps/leafscan"))["live"]["id"] == live["id"]


async def test_two_pushes_of_one_commit_share_a_deployment(registry: Registry, working_copy: WorkingCopy) -> None:
    forge = await attach_app(registry, working_copy)
    second = working_copy.commit({})
    first = await forge.push(second)
    await registry.wait_for_status("starting", deployment=first.body["id"])
    repeated = await forge.push(second)
    assert (repeated.status, repeated.body["id"]) == (202, first.body["id"])


async def test_a_commit_that_failed_may_be_pushed_again(registry: Registry, working_copy: WorkingCopy) -> None:
    forge = await attach_app(registry, working_copy)
    second = working_copy.commit({})
    first = await forge.push(second)
    await registry.wait_for_status("starting", deployment=first.body["id"])
    await registry.report(first.body["id"], status="failed", errors=[{"message": "it did not start"}])
    repeated = await forge.push(second)
    assert (repeated.status, repeated.body["id"] != first.body["id"]) == (202, True)
    assert (await registry.wait_for_status("starting", deployment=repeated.body["id"]))["commit"] == second


async def test_after_a_rollback_the_abandoned_head_is_not_new(registry: Registry, working_copy: WorkingCopy) -> None:
    forge = await attach_app(registry, working_copy)
    second = working_copy.commit({})
    await forge.push(second)
    await registry.make_live()
    await registry.call("POST", "/api/v1/apps/leafscan/rollback")
    rolled = await registry.make_live()
    answer = await forge.push(second)
    assert (answer.status, answer.body["id"]) == (200, rolled["id"])


@pytest.mark.parametrize("scope", ["write:leafscan", "write", "admin"])
async def test_an_api_token_that_may_write_is_enough(registry: Registry, working_copy: WorkingCopy, scope: str) -> None:
    await attach_app(registry, working_copy)
    created = await registry.call("POST", "/api/v1/tokens", {"name": "ci", "scopes": [scope]})
    bearer = {AUTHORIZATION: f"Bearer {created.body['token']}"}
    assert (await registry.call("POST", "/hooks/leafscan", None, bearer)).status == 200
    second = working_copy.commit({})
    answer = await registry.call("POST", "/hooks/leafscan", None, bearer)
    assert answer.status == 202
    assert (await registry.wait_for_status("starting", deployment=answer.body["id"]))["commit"] == second


@pytest.mark.parametrize("scope", ["read", "read:leafscan", "write:other"])
async def test_an_api_token_without_the_right_to_write_is_401(
    registry: Registry, working_copy: WorkingCopy, scope: str
) -> None:
    await attach_app(registry, working_copy)
    created = await registry.call("POST", "/api/v1/tokens", {"name": "ci", "scopes": [scope]})
    headers = {AUTHORIZATION: f"Bearer {created.body['token']}", identity.HEADER_SCOPES: "admin"}
    assert (await registry.call("POST", "/hooks/leafscan", None, headers)).status == 401


async def test_the_webhooks_own_secret_may_be_the_bearer_token(registry: Registry, working_copy: WorkingCopy) -> None:
    forge = await attach_app(registry, working_copy)
    answer = await registry.call("POST", "/hooks/leafscan", None, {AUTHORIZATION: f"Bearer {forge.secret}"})
    assert answer.status == 200


async def test_a_named_webhook_secret_counts_as_soon_as_it_has_a_value(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    await registry.apply(working_copy)
    declared = (
        "apiVersion: mlmesh/v1\nkind: Secret\nmetadata: {name: hook, namespace: leafscan}\nspec: {keys: [secret]}\n"
        "---\n"
        "apiVersion: mlmesh/v1\nkind: Repository\nmetadata: {name: leafscan, namespace: leafscan}\n"
        f"spec: {{url: '{working_copy.url}', pollInterval: 1h, webhook: {{secret: hook}}}}\n"
    )
    answer = await registry.call("POST", "/api/v1/apply", declared)
    assert answer.status == 200
    assert "webhook" not in answer.body
    forge = Forge(registry, "")
    assert (await forge.push("1" * 40)).status == 401
    await registry.call("PUT", "/api/v1/apps/leafscan/secrets/hook", {"data": {"secret": "ours"}})
    forge.secret = "ours"
    assert (await forge.push("1" * 40)).status == 202


async def test_a_push_while_one_is_queued_or_pending_ends_at_the_newest_head(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    forge = await attach_app(registry, working_copy)
    commits = [working_copy.commit({}, f"number {number}") for number in range(5)]
    for commit in commits:
        assert (await forge.push(commit)).status == 202
    deployment = await poll_until(registry.get_newest, lambda it: it["status"] in ("starting", "superseded"))
    assert deployment["commit"] == commits[-1]
    waiting = (await registry.get("/internal/deployments?status=starting"))["items"]
    assert [item["commit"] for item in waiting] == [commits[-1]]


async def test_a_broken_push_fails_and_a_repaired_one_goes_on(registry: Registry, working_copy: WorkingCopy) -> None:
    forge = await attach_app(registry, working_copy)
    await forge.push(working_copy.commit({"manifests/component.yaml": "nonsense: true\n"}))
    assert (await registry.wait_for_status("failed"))["errors"][0]["file"] == "manifests/component.yaml"
    await forge.push(working_copy.commit({"manifests/component.yaml": COMPONENT, "digits/more.py": ""}))
    assert (await registry.wait_for_status("starting"))["errors"] == []


async def test_a_branch_that_is_gone_is_told_to_the_forge(registry: Registry, working_copy: WorkingCopy) -> None:
    forge = await attach_app(registry, working_copy)
    working_copy.git("branch", "--move", "main", "trunk")
    expected = {"status": "ignored", "detail": "branch main is not there any more; the repository has: trunk"}
    deleted = await forge.send({"ref": "refs/heads/main", "after": "0" * 40, "deleted": True})
    assert (deleted.status, deleted.body) == (200, expected)
    other = await forge.send({"ref": "refs/heads/trunk", "after": "1" * 40})
    assert (other.status, other.body) == (200, expected)
    unnamed = await forge.send({})
    assert (unnamed.status, unnamed.body) == (200, expected)
    app = await registry.get("/api/v1/apps/leafscan")
    assert app["repository"]["poll_error"] == expected["detail"]
    assert len((await registry.get("/api/v1/apps/leafscan/deployments"))["items"]) == 1
