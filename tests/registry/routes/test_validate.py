"""Validation and schemas of manifests without an app."""

import json

import pytest

from libs.common.manifests import KINDS
from tests.registry.conftest import Registry
from tests.registry.working_copy import API, COMPONENT

VALIDATE = "/api/v1/validate"


async def test_good_files_have_no_errors(registry: Registry) -> None:
    answer = await registry.call("POST", VALIDATE, {"files": {"manifests/a.yaml": API, "manifests/c.yaml": COMPONENT}})
    assert (answer.status, answer.body) == (200, {"errors": [], "warnings": []})


async def test_errors_have_their_places(registry: Registry) -> None:
    answer = await registry.call("POST", VALIDATE, {"files": {"manifests/a.yaml": API}})
    (error,) = answer.body["errors"]
    assert (error["file"], error["line"], error["column"]) == ("manifests/a.yaml", 5, 23)
    assert error["message"].startswith('there is no MLComponent "digits"')


@pytest.mark.parametrize("body", ["", "nonsense", "[]", '{"files": []}', '{"files": {"a": 1}}', "{}"])
async def test_what_is_not_files_is_400(registry: Registry, body: str) -> None:
    assert (await registry.call("POST", VALIDATE, body)).status == 400


async def test_files_that_are_too_large_are_413_or_an_error_with_their_name(registry: Registry) -> None:
    big = await registry.call("POST", VALIDATE, json.dumps({"files": {"manifests/a.yaml": "#" * 2_000_000}}))
    assert [(error["file"], error["line"]) for error in big.body["errors"]] == [("manifests/a.yaml", 1)]
    assert (await registry.call("POST", VALIDATE, b" " * 16_000_001)).status == 413


@pytest.mark.parametrize("kind", [*KINDS, "mlcomponent"])
async def test_every_kind_has_a_schema(registry: Registry, kind: str) -> None:
    schema = await registry.get(f"/api/v1/schema/{kind}.json")
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert ("data" if kind == "ConfigMap" else "spec") in schema["properties"]


async def test_an_unknown_kind_is_404_with_the_kinds(registry: Registry) -> None:
    answer = await registry.call("GET", "/api/v1/schema/Pod.json")
    assert answer.status == 404
    assert "ExperimentPipeline" in answer.body["detail"]
