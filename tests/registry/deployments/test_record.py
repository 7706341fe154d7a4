"""Who caused a deployment, and what it changes: the real service, real Git."""

import json

from services.registry.checks.catalog import check_manifests
from services.registry.deployments.record import compare_stored
from tests.registry.conftest import Registry, poll_until
from tests.registry.working_copy import API, COMPONENT, PROTECTED_API, WorkingCopy

APP = "/api/v1/apps/leafscan"


async def test_a_deployment_names_who_caused_it_and_what_it_changes(
    each_registry: Registry, working_copy: WorkingCopy
) -> None:
    await each_registry.apply(working_copy)
    first = await each_registry.get(f"{APP}/deployments/{(await each_registry.make_live())['id']}")
    assert (first["trigger"], first["caused_by"], first["repeats"]) == ("apply", "token tests", None)
    assert first["changes"]["since"] is None
    assert [(it["action"], it["kind"], it["name"]) for it in first["changes"]["items"]] == [
        ("created", "MLComponent", "digits"), ("created", "APIComponent", "digits-api"),
    ]  # fmt: skip
    working_copy.commit({"manifests/component.yaml": COMPONENT + "  resources: {memory: 2Gi}\n"})
    await each_registry.call("POST", f"{APP}/sync")
    second = await each_registry.get(f"{APP}/deployments/{(await each_registry.make_live())['id']}")
    change = {"field": "spec.resources.memory", "before": None, "after": "2Gi"}
    assert second["changes"] == {
        "since": first["id"],
        "items": [
            {"kind": "MLComponent", "name": "digits", "action": "changed", "fields": [change], "data_kept": False}
        ],
        "omitted": 0,
    }
    rollback = (await each_registry.call("POST", f"{APP}/rollback")).body
    assert (rollback["trigger"], rollback["caused_by"]) == ("rollback", "token tests")
    assert rollback["repeats"] == {"app": "leafscan", "deployment": first["id"]}
    assert (rollback["commit"], rollback["message"]) == (first["commit"], "the first version")
    await each_registry.make_live()
    record = await each_registry.get(f"{APP}/deployments/{rollback['id']}")
    assert record["changes"]["since"] == second["id"]
    assert record["changes"]["items"][0]["fields"] == [{**change, "before": "2Gi", "after": None}]


def test_a_field_that_an_earlier_release_did_not_know_is_no_change() -> None:
    catalog, _ = check_manifests({"manifests/a.yml": f"{COMPONENT}---\n{API}".encode()}, None)
    assert catalog is not None
    new = json.loads(json.dumps(catalog.to_json()))
    old = json.loads(json.dumps(catalog.to_json()))
    del old["components"]["digits"]["spec"]["startTimeout"], old["config_maps"]
    assert compare_stored(old, new).items == ()
    old["components"]["digits"]["spec"]["startTimeout"] = 60.0
    assert [(it.name, len(it.fields)) for it in compare_stored(old, new).items] == [("digits", 1)]
    assert len(compare_stored(None, new).items) == 2


async def test_values_of_secrets_are_in_no_record(registry: Registry, working_copy: WorkingCopy) -> None:
    await registry.apply(working_copy)
    await registry.make_live()
    working_copy.commit({"manifests/api.yml": PROTECTED_API})
    await registry.call("POST", f"{APP}/sync")
    await poll_until(registry.get_newest, lambda it: [step["name"] for step in it["steps"]][-1:] == ["secrets"])
    values = {"data": {"alice": "a-secret-value"}}
    assert (await registry.call("PUT", f"{APP}/secrets/api-users", values)).status == 204
    record = await registry.get(f"{APP}/deployments/{(await registry.make_live())['id']}")
    assert [(it["action"], it["name"]) for it in record["changes"]["items"]] == [
        ("changed", "digits-api"), ("created", "api-users"),
    ]  # fmt: skip
    assert "a-secret-value" not in str(record)


async def test_a_deployment_whose_manifests_are_invalid_has_no_changes(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    working_copy.commit({"manifests/component.yaml": "kind: 1"})
    await registry.apply(working_copy)
    failed = await registry.wait_for_status("failed")
    assert (await registry.get(f"{APP}/deployments/{failed['id']}"))["changes"] is None
