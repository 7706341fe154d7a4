"""Every forge's deliveries, as they send them, against the running service."""

import asyncio
import dataclasses
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.registry.delivery_log import MAX_PER_MINUTE
from services.registry.routes.hooks import AUTHORIZATION
from tests.registry.conftest import ApiResponse, Registry, StartRegistry, poll_until
from tests.registry.forges.push_documents import MAIN, SIDE, TAG, ZEROS, write_bitbucket
from tests.registry.forges.sent_deliveries import (
    BITBUCKET,
    GITEA,
    GITHUB,
    GITLAB,
    GITLAB_SIGNED,
    GOGS,
    SAMPLES,
    SIGNING_TOKEN,
    SampleForge,
    SentDelivery,
    sign_standard,
)
from tests.registry.working_copy import WorkingCopy

OWNERS = {"leafscan": "schlüssel-of-leafscan", "other": "hook-of-other"}
"""The secrets of their webhooks: any text, not ASCII alone."""
LOG = "/api/v1/apps/leafscan/deliveries"
PROOF_HEADERS = ("-Signature", "-256", "-Token", "-signature", "Authorization")


@pytest.fixture
async def mesh(start_registry: StartRegistry, sqlite_url: str, working_copy: WorkingCopy) -> AsyncIterator[Registry]:
    """Two apps of one repository, each with a webhook's secret of its own."""
    async with start_registry(sqlite_url) as registry:
        for app, secret in OWNERS.items():
            declared = (
                f"apiVersion: mlmesh/v1\nkind: PlatformApp\nmetadata: {{name: {app}}}\nspec: {{title: Leaf}}\n---\n"
                f"apiVersion: mlmesh/v1\nkind: Secret\nmetadata: {{name: hook, namespace: {app}}}\n"
                "spec: {keys: [secret]}\n---\n"
                f"apiVersion: mlmesh/v1\nkind: Repository\nmetadata: {{name: {app}, namespace: {app}}}\n"
                f"spec: {{url: '{working_copy.url}', pollInterval: 1h, webhook: {{secret: hook}}}}\n"
            )
            assert (await registry.call("POST", "/api/v1/apply", declared)).status == 200
            await store_secret(registry, app, secret)
        await registry.make_live()
        yield registry


async def store_secret(registry: Registry, app: str, secret: str) -> None:
    stored = await registry.call("PUT", f"/api/v1/apps/{app}/secrets/hook", {"data": {"secret": secret}})
    assert stored.status == 204


async def use_secret(registry: Registry, sample: SampleForge) -> str:
    """The secret with which this forge works: GitLab makes signing tokens itself."""
    is_signing_token = sample.secret == SIGNING_TOKEN
    secret = SIGNING_TOKEN if is_signing_token else OWNERS["leafscan"]
    await store_secret(registry, "leafscan", secret)
    return secret


async def deliver(registry: Registry, sent: SentDelivery, **headers: str) -> ApiResponse:
    """As the gateway forwards it."""
    forwarded = {AUTHORIZATION if name == "Authorization" else name: value for name, value in sent.headers.items()}
    return await registry.call("POST", "/hooks/leafscan", sent.body, {**forwarded, **headers})


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
async def test_a_forges_deliveries_from_a_refused_one_to_a_live_commit(
    mesh: Registry, working_copy: WorkingCopy, sample: SampleForge
) -> None:
    secret = await use_secret(mesh, sample)
    forms = (False, True)[: 1 + sample.has_forms]
    for form in forms:
        await check_refusals(mesh, sample, form, secret)
    await check_ignored(mesh, sample, secret)
    assert len((await mesh.get("/api/v1/apps/leafscan/deployments"))["items"]) == 1
    for form in forms:
        await check_push(mesh, sample, form, secret, working_copy.commit({}))


async def check_refusals(mesh: Registry, sample: SampleForge, form: bool, secret: str) -> None:
    """Another app's secret, no proof, an empty one, one changed byte."""
    foreign = SIGNING_TOKEN.replace("_Y", "_Z") if secret == SIGNING_TOKEN else OWNERS["other"]
    sent = sample.send(form=form, secret=secret)
    proofs = [name for name in sent.headers if name.endswith(PROOF_HEADERS)]
    refused = [
        sample.send(form=form, secret=foreign),
        dataclasses.replace(sent, headers={**sent.headers, **dict.fromkeys(proofs, "")}),
        dataclasses.replace(sent, headers={name: sent.headers[name] for name in sent.headers if name not in proofs}),
    ]
    if sample.is_signed:
        refused.append(dataclasses.replace(sent, body=sent.body.replace(b"2e2e", b"2e2f", 1)))
    for delivery in refused:
        assert (await deliver(mesh, delivery)).status == 401
    items = (await mesh.get(LOG))["items"][: len(refused)]
    assert [(item["forge"], item["ref"], item["status"]) for item in items] == [(sample.name, None, 401)] * len(refused)
    assert all(item["failed"]["check"] and "set the webhook's secret" in item["failed"]["detail"] for item in items)


async def check_ignored(mesh: Registry, sample: SampleForge, secret: str) -> None:
    ignored = {
        "deletion": sample.send(MAIN, deleted=True, secret=secret, delivery="deletion"),
        "tag": sample.send(TAG, secret=secret, delivery="tag"),
        "side": sample.send(SIDE, secret=secret, delivery="side"),
    }
    for delivery, sent in ignored.items():
        answer = await deliver(mesh, _with_azure_id(sent, delivery) if sample.name == "azure" else sent)
        assert (answer.status, answer.body) == (204, b"")
    refs = [item["ref"] for item in (await mesh.get(LOG))["items"][:3]]
    assert refs == (["refs/tags/main"] * 2 + [MAIN] if sample.write is write_bitbucket else [SIDE, TAG, MAIN])


def _with_azure_id(sent: SentDelivery, identity: str) -> SentDelivery:
    """Azure has the delivery's id in the body, which its proof does not cover."""
    return dataclasses.replace(sent, body=sent.body.replace(b'"id": "6b"', f'"id": "{identity}"'.encode()))


async def check_push(mesh: Registry, sample: SampleForge, form: bool, secret: str, commit: str) -> None:
    """Deployed; known when it is repeated."""
    sent = sample.send(MAIN, commit, form=form, secret=secret, delivery=f"push-{form}")
    answer = await deliver(mesh, sent)
    assert answer.status == 202
    deployment = await mesh.wait_for_status("starting", deployment=answer.body["id"])
    assert (deployment["trigger"], deployment["commit"]) == ("push", commit)
    if sample.delivery_header:
        repeated = await deliver(mesh, sent)
        assert (repeated.status, repeated.body["id"]) == (200, answer.body["id"])
    newest = (await mesh.get(LOG))["items"][0]
    assert (newest["forge"], newest["ref"], newest["status"]) == (sample.name, MAIN, 202)
    await mesh.make_live()


async def test_a_bearer_token_is_good_whatever_else_the_delivery_carries(
    mesh: Registry, working_copy: WorkingCopy
) -> None:
    """Gitea with "Authorization header" and without a secret sends empty signatures."""
    bearer = {AUTHORIZATION: f"Bearer {OWNERS['leafscan']}"}
    for number, secret in enumerate(("", "foreign")):
        sent = GITEA.send(MAIN, working_copy.commit({}), secret=secret, delivery=f"{number}")
        assert (await deliver(mesh, sent)).status == 401
        assert (await deliver(mesh, sent, **bearer)).status == 202


async def test_giteas_test_delivery_deploys_the_head(mesh: Registry, working_copy: WorkingCopy) -> None:
    """It is a push from no commit to no commit."""
    commit = working_copy.commit({})
    document = {**GITEA.write(MAIN, ZEROS, False), "before": ZEROS}
    sent = [GITEA.send_document(document, secret=OWNERS["leafscan"], delivery=f"test-{number}") for number in (1, 2)]
    first = await deliver(mesh, sent[0])
    assert first.status == 202
    await mesh.make_live()
    second = await deliver(mesh, sent[1])
    assert (second.status, second.body["id"], second.body["commit"]) == (200, first.body["id"], commit)


async def test_a_foreign_bearer_token_does_not_spoil_a_signature(mesh: Registry, working_copy: WorkingCopy) -> None:
    """Such as one for a proxy in front of the mesh."""
    sent = GITHUB.send(MAIN, working_copy.commit({}), secret=OWNERS["leafscan"])
    assert (await deliver(mesh, sent, **{AUTHORIZATION: "Bearer of-a-proxy"})).status == 202


async def test_all_changes_of_a_push_are_read(mesh: Registry, working_copy: WorkingCopy) -> None:
    commit = working_copy.commit({})
    document = BITBUCKET.write(MAIN, commit, False)
    change = document["push"]["changes"][-1]
    side = {"old": None, "new": {"type": "branch", "name": "side", "target": {"hash": "1f" * 20}}}
    secret = OWNERS["leafscan"]
    many = {"push": {"changes": [side] * 10_000}}
    assert (await deliver(mesh, BITBUCKET.send_document(many, secret=secret, delivery="1"))).status == 204
    last = {"push": {"changes": [*[side] * 999, change]}}
    answer = await deliver(mesh, BITBUCKET.send_document(last, secret=secret, delivery="2"))
    assert answer.status == 202
    wrong = {"push": {"changes": "all"}}
    assert (await deliver(mesh, BITBUCKET.send_document(wrong, secret=secret, delivery="3"))).status == 400


async def test_a_standard_webhook_is_too_old_after_five_minutes_and_known_when_it_was_seen(
    mesh: Registry, working_copy: WorkingCopy
) -> None:
    import time

    secret = await use_secret(mesh, GITLAB_SIGNED)
    sent = GITLAB_SIGNED.send(MAIN, working_copy.commit({}), secret=secret)
    old = sign_standard(sent.body, sent.body, secret, at=time.time() - 400)
    refused = await deliver(mesh, dataclasses.replace(sent, headers={**sent.headers, **old}))
    assert (refused.status, refused.body["check"]) == (401, "webhook-signature")
    first, second = await deliver(mesh, sent), await deliver(mesh, sent)
    assert (first.status, second.status) == (202, 200)


async def test_gitlabs_secret_must_be_its_signing_token_for_signatures(mesh: Registry) -> None:
    answer = await deliver(mesh, GITLAB_SIGNED.send())
    assert answer.status == 401
    assert "signing token (whsec_" not in answer.body["detail"]
    (item,) = (await mesh.get("/api/v1/apps/leafscan/deliveries"))["items"]
    assert "is no signing token (whsec_…): store the one that the forge shows" in item["failed"]["detail"]
    assert (await deliver(mesh, GITLAB.send(secret=OWNERS["leafscan"], delivery="2"))).status in (200, 202)


async def test_of_a_hundred_shuffled_deliveries_the_head_comes_out(mesh: Registry, working_copy: WorkingCopy) -> None:
    commits = [working_copy.commit({}, f"number {number}") for number in range(10)]
    secret = OWNERS["leafscan"]
    forges = (GITHUB, GITEA, GOGS, GITLAB, BITBUCKET)
    sent = [
        forges[number % 5].send(MAIN, commits[number // 10], secret=secret, delivery=f"d-{number}")
        for number in range(100)
    ]
    random.Random(7).shuffle(sent)
    answers = await asyncio.gather(*(deliver(mesh, delivery) for delivery in sent))
    statuses = [answer.status for answer in answers]
    assert set(statuses) <= {200, 202, 429}
    assert statuses.count(429) <= 100 - MAX_PER_MINUTE
    starting = await poll_until(lambda: list_deployments(mesh, "starting"), bool)
    await poll_until(lambda: list_deployments(mesh, "pending"), lambda pending: not pending)
    assert [item["commit"] for item in starting] == [commits[-1]]
    items = await list_deployments(mesh)
    others = [item["status"] for item in items if item["id"] != starting[0]["id"]]
    assert set(others) <= {"superseded", "live"}
    assert sum(item["trigger"] == "push" and item["commit"] is not None for item in items) <= 2


async def list_deployments(registry: Registry, status: str | None = None) -> Any:
    items = (await registry.get("/api/v1/apps/leafscan/deployments"))["items"]
    return [item for item in items if status in (None, item["status"])]
