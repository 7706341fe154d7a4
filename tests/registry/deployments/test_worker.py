"""Deployments up to the scheduler's start, with the real service and real Git."""

import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from libs.common.db import Database
from libs.common.messages import AccessChanged, RevisionReady
from services.registry.db.tables import deployments
from tests.registry.conftest import FakePeers, Registry, StartRegistry, poll_until
from tests.registry.working_copy import COMPONENT, PROTECTED_API, WorkingCopy

NO_VALUE = (
    'secret "api-users" (APIComponent digits-api) has no value for alice; '
    "set it with: mlmesh secret set leafscan api-users alice"
)
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{previous}'] * 9)}]\n"
    for previous, name in zip("abcdefgh", "bcdefghi", strict=True)
)


async def test_applying_an_app_brings_its_head_to_the_scheduler(
    each_registry: Registry, working_copy: WorkingCopy
) -> None:
    answer = await each_registry.apply(working_copy)
    assert answer.status == 200, answer.body
    assert answer.body["applied"] == [
        {"kind": "PlatformApp", "name": "leafscan", "action": "created"},
        {"kind": "Repository", "name": "leafscan", "action": "created"},
    ]
    deployment = await each_registry.wait_for_status("starting", "failed")
    assert deployment["status"] == "starting", deployment
    assert deployment["commit"] == working_copy.git("rev-parse", "HEAD")
    assert (deployment["trigger"], deployment["author"], deployment["message"]) == (
        "apply", "Alice <alice@example.org>", "the first version",
    )  # fmt: skip
    assert [(step["name"], step["status"]) for step in deployment["steps"]] == [
        ("fetch", "succeeded"), ("validate", "succeeded"), ("revision", "succeeded"), ("secrets", "succeeded"),
        ("announce", "succeeded"),
    ]  # fmt: skip
    waiting = (await each_registry.get("/internal/deployments?status=starting"))["items"]
    assert [(item["id"], item["app"], item["commit"]) for item in waiting] == [
        (deployment["id"], "leafscan", deployment["commit"])
    ]
    assert sorted(waiting[0]["catalog"]["components"]) == ["digits"]
    message_types = {type((await each_registry.messages.next()).message) for _ in range(3)}
    assert message_types == {RevisionReady, AccessChanged}


async def test_a_deployment_that_goes_live_supersedes_the_one_before(
    each_registry: Registry, working_copy: WorkingCopy
) -> None:
    await each_registry.apply(working_copy)
    first = await each_registry.make_live()
    assert first["status"] == "live"
    assert first["live_at"] is not None
    second = working_copy.commit({"digits/more.py": ""})
    await each_registry.call("POST", "/api/v1/apps/leafscan/sync")
    assert (await each_registry.make_live())["commit"] == second
    listed = (await each_registry.get("/api/v1/apps/leafscan/deployments"))["items"]
    assert [item["status"] for item in listed] == ["live", "superseded"]
    assert listed[1]["live_at"] == first["live_at"]


@pytest.mark.parametrize(
    ("files", "place", "words"),
    [
        ({"manifests/component.yaml": COMPONENT.replace("mlService", "mlServise")},
         ("manifests/component.yaml", 6, 3),
         'did you mean "mlService"?'),
        ({"manifests/component.yaml": COMPONENT.replace("{name: digits}", "{name: 7}")},
         ("manifests/component.yaml", 3, 18),
         '"name" must be text'),
        ({"manifests/more.yaml": COMPONENT}, ("manifests/more.yaml", 3, 18), 'a second MLComponent "digits"'),
        ({"manifests/component.yaml": COMPONENT.replace("name: digits", "name: others")}, ("manifests/api.yml", 5, 23),
         'there is no MLComponent "digits"'),
        ({"manifests/api.yml": "a: [1"}, ("manifests/api.yml", 1, 6), "invalid YAML"),
        ({"manifests/bomb.yaml": BOMB}, ("manifests/bomb.yaml", 5, 16), "more than 30000 values with aliases expanded"),
        ({"manifests/big.yaml": b"#" * 10_000_000}, ("manifests/big.yaml", 1, 1), "are too large for a manifest"),
    ],
    ids=["typo", "wrong type", "duplicate", "missing reference", "invalid YAML", "anchor bomb", "10 MB"],
)  # fmt: skip
async def test_a_bad_manifest_fails_with_its_place_and_the_live_version_stays(
    registry: Registry,
    working_copy: WorkingCopy,
    files: dict[str, str | bytes],
    place: tuple[str, int, int],
    words: str,
) -> None:
    await registry.apply(working_copy)
    live = await registry.make_live()
    working_copy.commit(files)
    await registry.call("POST", "/api/v1/apps/leafscan/sync")
    failed = await registry.wait_for_status("failed", "starting")
    assert failed["status"] == "failed"
    error = next((error for error in failed["errors"] if words in error["message"]), failed["errors"])
    assert (error["file"], error["line"], error["column"]) == place, error
    last = failed["steps"][-1]
    assert (last["name"], last["status"], last["detail"]) == ("validate", "failed", failed["errors"][0]["message"])
    assert (await registry.get("/api/v1/apps/leafscan"))["live"]["id"] == live["id"]


@pytest.mark.parametrize(
    ("url", "spec", "reason"),
    [
        ("http://127.0.0.1:1/nowhere", {}, "unable to access 'http://127.0.0.1:1/nowhere/'"),
        ("https://no-such-host.invalid/a", {}, "could not resolve host no-such-host.invalid"),
        (None, {"branch": "nope"}, "there is no branch nope; the repository has: main"),
    ],
)
async def test_an_unknown_repository_or_branch_fails_with_its_reason(
    registry: Registry, working_copy: WorkingCopy, url: str | None, spec: dict[str, str], reason: str
) -> None:
    await registry.apply(url or working_copy, **spec)
    failed = await registry.wait_for_status("failed", "starting")
    (error,) = failed["errors"]
    assert reason in error["message"]
    assert (error["file"], error["line"], error["column"]) == (None, None, None)
    assert [(step["name"], step["status"]) for step in failed["steps"]] == [("fetch", "failed")]


async def test_a_secret_without_its_value_holds_the_deployment_until_it_is_set(
    each_registry: Registry, working_copy: WorkingCopy
) -> None:
    working_copy.commit({"manifests/api.yml": PROTECTED_API})
    await each_registry.apply(working_copy)
    waiting = await poll_until(
        each_registry.get_newest, lambda it: any(step["status"] == "waiting" for step in it["steps"])
    )
    assert waiting["status"] == "pending"
    assert (waiting["steps"][-1]["name"], waiting["steps"][-1]["detail"]) == (
        "secrets",
        NO_VALUE,
    )
    answer = await each_registry.call("PUT", "/api/v1/apps/leafscan/secrets/api-users", {"data": {"alice": "sesame"}})
    assert answer.status == 204, answer.body
    deployment = await each_registry.wait_for_status("starting", "failed")
    assert deployment["id"] == waiting["id"]
    assert [step["name"] for step in deployment["steps"]] == ["fetch", "validate", "revision", "secrets", "announce"]
    assert deployment["commit"] == waiting["commit"]


async def test_git_credentials_without_a_value_hold_the_fetch_until_they_are_set(
    registry: Registry, working_copy: WorkingCopy, peers: FakePeers
) -> None:
    await registry.apply(working_copy)
    declared = (
        "apiVersion: mlmesh/v1\nkind: Secret\nmetadata: {name: git, namespace: leafscan}\nspec: {keys: [token]}\n---\n"
        "apiVersion: mlmesh/v1\nkind: Repository\nmetadata: {name: leafscan, namespace: leafscan}\n"
        f"spec: {{url: '{working_copy.url}', credentials: git}}\n"
    )
    assert (await registry.call("POST", "/api/v1/apply", declared)).status == 200
    waiting = await poll_until(registry.get_newest, lambda it: any(step["status"] == "waiting" for step in it["steps"]))
    assert waiting["status"] == "pending"
    assert 'secret "git" (Repository leafscan) has no complete values yet' in waiting["steps"][0]["detail"]
    await registry.call("PUT", "/api/v1/apps/leafscan/secrets/git", {"data": {"token": "t"}})
    assert (await registry.wait_for_status("starting", "failed", deployment=waiting["id"]))["status"] == "starting"


async def test_a_newer_deployment_ends_one_that_waits(registry: Registry, working_copy: WorkingCopy) -> None:
    working_copy.commit({"manifests/api.yml": PROTECTED_API})
    await registry.apply(working_copy)
    waiting = await poll_until(registry.get_newest, lambda it: any(step["status"] == "waiting" for step in it["steps"]))
    working_copy.git("revert", "--no-edit", "HEAD")
    await registry.call("POST", "/api/v1/apps/leafscan/sync")
    assert (await registry.wait_for_status("starting"))["id"] != waiting["id"]
    assert (await registry.get(f"/api/v1/apps/leafscan/deployments/{waiting['id']}"))["status"] == "superseded"


async def test_a_newer_revision_ends_the_start_of_the_one_before(registry: Registry, working_copy: WorkingCopy) -> None:
    await registry.apply(working_copy)
    first = await registry.wait_for_status("starting")
    second = working_copy.commit({})
    await registry.call("POST", "/api/v1/apps/leafscan/sync")
    await poll_until(registry.get_newest, lambda it: it["status"] == "starting" and it["commit"] == second)
    waiting = (await registry.get("/internal/deployments?status=starting"))["items"]
    assert [item["commit"] for item in waiting] == [second]
    assert (await registry.get(f"/api/v1/apps/leafscan/deployments/{first['id']}"))["status"] == "superseded"


async def test_sync_deploys_the_same_head_again(registry: Registry, working_copy: WorkingCopy) -> None:
    await registry.apply(working_copy)
    live = await registry.make_live()
    answer = await registry.call("POST", "/api/v1/apps/leafscan/sync")
    assert answer.status == 202
    assert answer.headers["Location"] == f"/api/v1/apps/leafscan/deployments/{answer.body['id']}"
    repeated = await registry.wait_for_status("starting", deployment=answer.body["id"])
    assert (repeated["trigger"], repeated["commit"]) == ("sync", live["commit"])


async def test_a_rollback_deploys_what_was_live_before_and_the_webhook_does_not_undo_it(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    await registry.apply(working_copy)
    first = await registry.make_live()
    working_copy.commit({"digits/more.py": ""})
    await registry.call("POST", "/api/v1/apps/leafscan/sync")
    second = await registry.make_live()
    answer = await registry.call("POST", "/api/v1/apps/leafscan/rollback")
    assert answer.status == 202, answer.body
    rolled = await registry.make_live()
    assert (rolled["id"], rolled["trigger"], rolled["commit"]) == (answer.body["id"], "rollback", first["commit"])
    named = await registry.call("POST", "/api/v1/apps/leafscan/rollback", {"deployment": second["id"]})
    assert (await registry.wait_for_status("starting", deployment=named.body["id"]))["commit"] == second["commit"]


async def test_a_rollback_that_is_asked_for_twice_is_one(registry: Registry, working_copy: WorkingCopy) -> None:
    await registry.apply(working_copy)
    first = await registry.make_live()
    working_copy.commit({"digits/more.py": ""})
    await registry.call("POST", "/api/v1/apps/leafscan/sync")
    second = await registry.make_live()
    asked = await registry.call("POST", "/api/v1/apps/leafscan/rollback")
    again = await registry.call("POST", "/api/v1/apps/leafscan/rollback")
    assert (again.status, again.body["id"]) == (202, asked.body["id"])
    assert again.headers["Location"] == asked.headers["Location"]
    await registry.wait_for_status("starting")
    assert (await registry.call("POST", "/api/v1/apps/leafscan/rollback", {})).body["id"] == asked.body["id"]
    named = await registry.call("POST", "/api/v1/apps/leafscan/rollback", {"deployment": first["id"]})
    assert named.body["id"] != asked.body["id"]
    await registry.make_live()
    back = await registry.call("POST", "/api/v1/apps/leafscan/rollback")
    assert (back.status, back.body["repeats"]["deployment"]) == (202, second["id"])


async def test_a_rollback_needs_a_revision_to_go_back_to(registry: Registry, working_copy: WorkingCopy) -> None:
    await registry.apply(working_copy, branch="nope")
    failed = await registry.wait_for_status("failed")
    assert (await registry.call("POST", "/api/v1/apps/leafscan/rollback")).status == 409
    named = await registry.call("POST", "/api/v1/apps/leafscan/rollback", {"deployment": failed["id"]})
    assert named.status == 409
    unknown = await registry.call("POST", "/api/v1/apps/leafscan/rollback", {"deployment": "unknown"})
    assert unknown.status == 404


async def test_a_restart_in_the_middle_goes_on_where_it_was(
    start_registry: StartRegistry, sqlite_url: str, working_copy: WorkingCopy
) -> None:
    working_copy.commit({"manifests/api.yml": PROTECTED_API})
    async with start_registry(sqlite_url) as registry:
        await registry.apply(working_copy)
        waiting = await poll_until(
            registry.get_newest, lambda it: any(step["status"] == "waiting" for step in it["steps"])
        )
    async with start_registry(sqlite_url) as registry:
        assert (await registry.get_newest())["status"] == "pending"
        await registry.call("PUT", "/api/v1/apps/leafscan/secrets/api-users", {"data": {"alice": "sesame"}})
        assert (await registry.wait_for_status("starting"))["id"] == waiting["id"]


async def test_what_was_queued_when_the_service_stopped_is_deployed_after_its_start(
    start_registry: StartRegistry, sqlite_url: str, working_copy: WorkingCopy
) -> None:
    async with start_registry(sqlite_url) as registry:
        await registry.apply(working_copy)
    async with start_registry(sqlite_url) as registry:
        assert (await registry.wait_for_status("starting", "failed"))["status"] == "starting"


async def test_a_branch_that_is_set_back_is_deployed_again(registry: Registry, working_copy: WorkingCopy) -> None:
    await registry.apply(working_copy, pollInterval="1s")
    first = await registry.make_live()
    working_copy.commit({})
    await poll_until(registry.get_newest, lambda it: it["status"] == "starting" and it["commit"] != first["commit"])
    await registry.make_live()
    working_copy.git("reset", "--quiet", "--hard", first["commit"])
    repeated = await poll_until(
        registry.get_newest, lambda it: it["status"] == "starting" and it["commit"] == first["commit"]
    )
    assert repeated["id"] != first["id"]


async def test_one_that_was_fetched_when_the_service_stopped_is_taken_up_again(
    start_registry: StartRegistry, sqlite_url: str, working_copy: WorkingCopy
) -> None:
    async with start_registry(sqlite_url) as registry:
        await registry.apply(working_copy, pollInterval="1h")
        await registry.make_live()
        second = working_copy.commit({})
        await registry.call("POST", "/api/v1/apps/leafscan/sync")
        deployment = await registry.wait_for_status("starting")
    database = Database(sqlite_url)  # as if the service had been killed just after the fetch
    async with database.write() as c:
        condition = deployments.c.id == deployment["id"]
        await c.execute(update(deployments).where(condition).values(status="pending", revision=None, trigger="push"))
    await database.close()
    async with start_registry(sqlite_url) as registry:
        repeated = await registry.wait_for_status("starting", "superseded", deployment=deployment["id"])
        assert (repeated["status"], repeated["commit"]) == ("starting", second)


async def test_a_platform_app_in_git_renames_the_app_when_it_is_live(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    platform = "apiVersion: mlmesh/v1\nkind: PlatformApp\nmetadata: {name: leafscan}\nspec: {title: Renamed}\n"
    working_copy.commit({"manifests/app.yaml": platform})
    await registry.apply(working_copy)
    await registry.wait_for_status("starting")
    assert (await registry.get("/api/v1/apps/leafscan"))["title"] == "Leaf scan"
    await registry.make_live()
    assert (await registry.get("/api/v1/apps/leafscan"))["title"] == "Renamed"


async def test_what_a_deployment_leaves_out_or_stops_is_told_before_it_starts(
    each_registry: Registry, working_copy: WorkingCopy
) -> None:
    working_copy.commit({"manifests/more.yml": COMPONENT.replace("name: digits", "name: letters")})
    await each_registry.apply(working_copy)
    assert (await each_registry.make_live())["warnings"] == []
    (working_copy.folder / "manifests/more.yml").rename(working_copy.folder / "manifests/more.YML")
    (working_copy.folder / "data").symlink_to("/mnt/data")
    working_copy.commit({})
    await each_registry.call("POST", "/api/v1/apps/leafscan/sync")
    warnings = (await each_registry.wait_for_status("starting"))["warnings"]
    assert [f"{item['file']}: {item['message']}" for item in warnings] == [
        "manifests: this deployment stops component letters: no manifest of it is in the commit",
        'data: a link to "/mnt/data" outside this repository is left out; commit what it leads to, or keep it in a box',
        "manifests/more.YML: not read: the name of a manifest ends in .yml or .yaml; rename it",
    ]


@pytest.mark.parametrize(("runtime", "files"), [("process", ["Pipfile"]), ("docker", [])])
async def test_packages_that_no_process_gets_are_told(
    start_registry: StartRegistry, sqlite_url: str, working_copy: WorkingCopy, runtime: str, files: list[str]
) -> None:
    working_copy.commit({"Pipfile": ""})
    async with start_registry(sqlite_url, runtime=runtime) as registry:
        await registry.apply(working_copy)
        deployment = (await registry.wait_for_status("starting"))["warnings"]
    assert [item["file"] for item in deployment if "is not installed" in item["message"]] == files


async def test_each_change_of_a_deployment_is_a_line_of_the_log(registry: Registry, working_copy: WorkingCopy) -> None:
    commit = working_copy.commit({"manifests/api.yml": PROTECTED_API, "manifests/more.YML": ""})
    with capture_logs() as lines:
        await registry.apply(working_copy)
        await poll_until(registry.get_newest, lambda it: any(step["status"] == "waiting" for step in it["steps"]))
        await registry.call("PUT", "/api/v1/apps/leafscan/secrets/api-users", {"data": {"alice": "sesame"}})
        deployment = await registry.wait_for_status("starting", "failed")
        await registry.make_live()
        second = (await registry.call("POST", "/api/v1/apps/leafscan/sync")).body["id"]
        await registry.wait_for_status("starting", deployment=second)
        await registry.report(second, status="failed", errors=[{"message": "it did not start"}])
        third = (await registry.call("POST", "/api/v1/apps/leafscan/sync")).body["id"]
        await registry.wait_for_status("starting", deployment=third)
        await registry.report(third, status="live")
    events = [line for line in lines if line["event"].startswith("Deployment")]
    why = NO_VALUE
    fields = {"logger_name": "registry", "app": "leafscan", "deployment": deployment["id"], "log_level": "info"}
    assert events == [
        {"event": "Deployment started", "trigger": "apply", **fields},
        {"event": "Deployment waiting", "why": why, **fields},
        {"event": "Deployment handed to the scheduler", "warnings": 1, **fields},
        {"event": "Deployment live", "commit": commit, **fields},
        {"event": "Deployment started", "trigger": "sync", **fields, "deployment": second},
        {"event": "Deployment handed to the scheduler", "warnings": 1, **fields, "deployment": second},
        {
            "event": "Deployment failed",
            "why": "it did not start",
            **fields,
            "deployment": second,
            "log_level": "warning",
        },
        {"event": "Deployment started", "trigger": "sync", **fields, "deployment": third},
        {"event": "Deployment handed to the scheduler", "warnings": 1, **fields, "deployment": third},
        {"event": "Deployment live", "commit": commit, **fields, "deployment": third},
        {"event": "Deployment superseded", "by": third, **fields},
    ]
