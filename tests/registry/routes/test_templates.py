"""Templates, and apps that begin from one."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from libs.common import identity
from libs.common.templates.template import list_templates
from tests.registry.conftest import Registry, poll_until
from tests.registry.scenarios.test_people import add_person, as_person, give_role
from tests.registry.scenarios.test_pushes import Remote
from tests.registry.working_copy import WorkingCopy

FUNCTION = {"name": "leafscan", "title": "Leaf scan", "template": "function"}
READER = {identity.HEADER_SCOPES: "read:leafscan", identity.HEADER_TOKEN_NAME: "reader"}


async def clone(remote: Remote, folder: Path) -> WorkingCopy:
    copy = WorkingCopy(folder)
    shutil.rmtree(folder / ".git")
    assert await remote.run(copy, "clone", "--quiet", remote.url, ".") == (0, "")
    return copy


async def test_the_list_says_what_each_is_in_both_languages(registry: Registry) -> None:
    listed = await registry.get("/api/v1/templates")
    assert [item["name"] for item in listed["items"]] == [template.name for template in list_templates()]
    classifier = next(item for item in listed["items"] if item["name"] == "classifier")
    assert classifier["title"] == {"en": "Classifier", "ru": "Классификатор"}
    assert classifier["secrets"] == [{"name": "users", "keys": ["alice"]}]
    assert set(classifier) == {"name", "title", "description", "parameters", "secrets", "next"}


async def test_an_app_from_a_template_is_deployed_at_once(each_registry: Registry) -> None:
    created = await each_registry.call("POST", "/api/v1/apps", FUNCTION)
    assert (created.status, created.headers["Location"]) == (201, "/api/v1/apps/leafscan"), created.body
    assert created.body["clone"] == "http://127.0.0.1:8000/git/leafscan.git"
    assert (created.body["title"], created.body["newest"]["id"]) == ("Leaf scan", created.body["deployment"])
    live = await each_registry.make_live()
    assert (live["id"], live["status"], live["trigger"]) == (created.body["deployment"], "live", "push")
    assert (live["author"], live["caused_by"]) == ("token tests", "token tests")
    assert live["message"].strip() == "First version, from the template function"
    assert live["warnings"] == []


async def test_a_clone_of_it_is_pushed_to_as_any_other(registry: Registry, tmp_path: Path) -> None:
    await registry.call("POST", "/api/v1/apps", FUNCTION)
    first = await registry.make_live()
    remote = Remote(registry)
    copy = await clone(remote, tmp_path / "copy")
    assert copy.git("branch", "--show-current") == "main"
    assert copy.git("log", "--format=%H %an") == f"{first['commit']} token tests"
    assert "# Leaf scan" in (copy.folder / "README.md").read_text()
    commit = copy.commit({"words.py": (copy.folder / "words.py").read_text() + "\n"})
    pushing = asyncio.ensure_future(remote.push(copy))
    await poll_until(registry.get_newest, lambda newest: newest["id"] != first["id"])
    await registry.make_live()
    assert (await pushing)[0] == 0
    assert (await registry.get("/api/v1/apps/leafscan"))["live"]["commit"] == commit


async def test_its_history_is_accepted_by_a_server_that_checks_objects(registry: Registry, tmp_path: Path) -> None:
    await registry.call("POST", "/api/v1/apps", FUNCTION)
    await registry.make_live()
    copy = await clone(Remote(registry), tmp_path / "copy")
    await Remote(registry, "other").push_live(copy)
    assert (await registry.get("/api/v1/apps/other"))["live"] is not None


async def test_the_classifier_waits_for_its_secret(registry: Registry) -> None:
    await registry.call("POST", "/api/v1/apps", {"name": "texts", "template": "classifier"})
    newest = await poll_until(
        lambda: registry.get_newest("texts"), lambda item: any(step["status"] == "waiting" for step in item["steps"])
    )
    assert (newest["status"], newest["steps"][-1]["name"]) == ("pending", "secrets")
    values = {"data": {"alice": "late-again-7"}}
    assert (await registry.call("PUT", "/api/v1/apps/texts/secrets/users", values)).status == 204
    await registry.wait_for_status("starting", app="texts")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"template": "nonsense"}, "there is no template 'nonsense'; the templates are "),
        ({"template": "../cli"}, "there is no template '../cli'; the templates are "),
        ({"template": "function", "parameters": {"x": "y"}}, "the template function has no parameter 'x'"),
        ({"parameters": {"x": "y"}}, "parameters are those of a template; name it, or leave them out"),
        ({"template": "function", "name": "api"}, '"api" is reserved; choose another name'),
    ],
)
async def test_what_does_not_fit_is_refused_and_nothing_made(
    registry: Registry, body: dict[str, Any], sentence: str
) -> None:
    refused = await registry.call("POST", "/api/v1/apps", {"name": "leafscan", **body})
    assert refused.status == 422
    assert sentence in refused.body["detail"]
    assert (await registry.get("/api/v1/apps"))["items"] == []
    assert list((registry.settings.data / "registry/repositories").glob("*")) == []


async def test_a_name_that_is_taken_is_a_conflict_and_its_repository_stays(registry: Registry) -> None:
    await registry.call("POST", "/api/v1/apps", FUNCTION)
    live = await registry.make_live()
    refused = await registry.call("POST", "/api/v1/apps", {**FUNCTION, "template": "classifier"})
    assert (refused.status, refused.body["detail"]) == (409, 'there is an app "leafscan" already')
    assert (await registry.get("/api/v1/apps/leafscan"))["repository"]["head"] == live["commit"]


async def test_who_may_only_read_makes_nothing(registry: Registry) -> None:
    assert (await registry.call("POST", "/api/v1/apps", FUNCTION, READER)).status == 403
    assert not (registry.settings.data / "registry/repositories").exists()


async def test_a_person_who_develops_an_app_owns_the_new_one(registry: Registry) -> None:
    await registry.call("POST", "/api/v1/apps", {"name": "other"})
    token = await add_person(registry, "petrova")
    await give_role(registry, "viewer", "petrova", "other")
    assert (await registry.call("POST", "/api/v1/apps", FUNCTION, await as_person(registry, token))).status == 403
    await give_role(registry, "developer", "petrova", "other")
    created = await registry.call("POST", "/api/v1/apps", FUNCTION, await as_person(registry, token))
    assert created.status == 201, created.body
    members = await registry.get("/api/v1/apps/leafscan/members")
    assert [(member["name"], member["role"]) for member in members["items"]] == [("petrova", "owner")]
    live = await registry.make_live()
    assert (live["author"], live["caused_by"]) == ("petrova", "user petrova")


async def test_an_administrator_makes_the_first_app_of_a_mesh(registry: Registry) -> None:
    person = {identity.HEADER_PERSON: "root", identity.HEADER_USER: "root", identity.HEADER_SCOPES: "admin"}
    created = await registry.call("POST", "/api/v1/apps", FUNCTION, person)
    assert created.status == 201, created.body
    members = await registry.get("/api/v1/apps/leafscan/members")
    assert [(member["name"], member["role"]) for member in members["items"]] == [("root", "owner")]


async def test_a_deleted_app_may_be_made_again(registry: Registry) -> None:
    registry.peers.responses["DELETE /internal/apps/leafscan"] = (204, None)
    await registry.call("POST", "/api/v1/apps", FUNCTION)
    await registry.make_live()
    assert (await registry.call("DELETE", "/api/v1/apps/leafscan")).status == 204
    assert (await registry.call("POST", "/api/v1/apps", {**FUNCTION, "title": "Again"})).status == 201
    assert (await registry.make_live())["status"] == "live"
