# ruff: noqa: E501  -- a case is a line: what is written, and what is answered
"""Spellings of the original platform, under its apiVersion and under ours."""

import pytest

from libs.common.manifests import read_documents
from libs.common.manifests.fields import API_VERSION, ORIGINAL_API_VERSION

API = f"apiVersion: {ORIGINAL_API_VERSION}\nkind: APIComponent\nmetadata: {{name: a}}\nspec:\n"  # ends on line 4
ML = f"apiVersion: {ORIGINAL_API_VERSION}\nkind: MLComponent\nmetadata: {{name: m}}\nspec:\n  image: {{existingImageName: app}}\n"
AUTH = "  restfulApi: {path: x, auth: {none: {}}}\n"
PATHLESS = "  restfulApi: {auth: {none: {}}}\n"

SPELLINGS = [
    (API + "  mlComponent: {name: m}\n" + AUTH.replace("Api", "API"), ['6:3: "restfulAPI" is read as "restfulApi"; write restfulApi'], {"mlComponent": {"name": "m"}, "restfulApi": {"path": "x", "auth": {"none": {}}}}),
    (API + "  mlComponent: m\n" + AUTH, ['5:16: "mlComponent" is a name here; write mlComponent: {name: m}'], {"mlComponent": {"name": "m"}}),
    (API + "  experimentPipeline: p\n  apiSpec: {}\n" + AUTH, ['5:23: "experimentPipeline" is a name here; write experimentPipeline: {name: p}'], {"experimentPipeline": {"name": "p"}}),
    (API + "  experimentPipeline: {name: p}\n  apiSpec: {}\n" + PATHLESS, ['7:3: no "path" in "restfulApi": it is "p", the name of the target; write path: p'], {"restfulApi": {"path": "p", "auth": {"none": {}}}}),
    (API + "  mlComponent: {name: m}\n  restfulApi: {path: , auth: {none: {}}}\n", ['6:3: no "path" in "restfulApi": it is "m", the name of the target; write path: m'], {"restfulApi": {"path": "m", "auth": {"none": {}}}}),
    (API + "  ExperimentPipeline: p\n  api_spec: {inputs: [{name: a, type: {dataTypes: [FILE]}}]}\n" + PATHLESS.replace("Api", "API"), [
        '5:3: "ExperimentPipeline" is read as "experimentPipeline"; write experimentPipeline',
        '5:23: "experimentPipeline" is a name here; write experimentPipeline: {name: p}',
        '6:3: "api_spec" is read as "apiSpec"; write apiSpec',
        '6:40: "dataTypes" is read as "datatypes"; write datatypes',
        '7:3: "restfulAPI" is read as "restfulApi"; write restfulApi',
        '7:3: no "path" in "restfulApi": it is "p", the name of the target; write path: p',
    ], {"experimentPipeline": {"name": "p"}, "restfulApi": {"path": "p", "auth": {"none": {}}}}),
    (ML + '  mlService: {inference: "a:f"}\n  envFrom: [{secretRef: s}]\n  connectedBoxes: [b]\n', ['7:25: "secretRef" is a name here; write secretRef: {name: s}'], {"envFrom": ({"secretRef": {"name": "s"}},), "connectedBoxes": ({"name": "b"},)}),
    (API + "  files: {}\n" + PATHLESS, [], {"restfulApi": {"auth": {"none": {}}}}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "warnings", "spec"), SPELLINGS)
def test_a_spelling_of_the_original_platform_is_taken_with_a_warning(
    text: str, warnings: list[str], spec: dict[str, object]
) -> None:
    manifests, found = read_documents({"m.yml": text.encode()})
    assert [(str(one), one.severity) for one in found] == [(f"m.yml:{line}", "warning") for line in warnings]
    dumped = manifests[0].body.model_dump(by_alias=True, exclude_unset=True)["spec"]
    assert {name: dumped[name] for name in spec} == spec


@pytest.mark.parametrize("text", [text for text, warnings, _ in SPELLINGS if warnings])
def test_under_our_version_it_is_an_error(text: str) -> None:
    manifests, found = read_documents({"m.yml": text.replace(ORIGINAL_API_VERSION, API_VERSION).encode()})
    assert (manifests, {one.severity for one in found}) == ([], {"error"})


STILL_WRONG = [
    (API + "  mlComponent: m\n  restfulAPI: {path: x, auth: {oidc: {issuer: i, audience: a}}}\n", '6:32: "oidc" is not supported yet; remove it'),
    (API + "  mlComponent: m\n  restfulAPI: {path: x}\n", '6:3: missing field "auth" in "restfulApi"; say who may call: basic, apiKey, or none: {} for everybody'),
    (API + "  mlComponent: My_M\n" + PATHLESS, '5:16: "name" must be at most 63 lower-case letters, digits and -, with a letter or digit at both ends, not "My_M"'),
    (API + "  mlComponent: files\n" + PATHLESS, '6:3: path "files" is reserved (files, runs, v2, predict, docs, openapi.json); choose another'),
    (API + "  mlComponent: m\n  experimentPipeline: p\n" + PATHLESS, "4:1: only one of mlComponent, experimentPipeline, files or pipelines is possible; remove mlComponent or experimentPipeline"),
    (API + "  mlComponent: m\n", '4:1: missing field "restfulApi" in "spec"; it says who may call, and under which path'),
    (API + "  mlComponent: [m]\n" + AUTH, '5:3: "mlComponent" must be a mapping of fields, not a list'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), STILL_WRONG)
def test_what_is_wrong_otherwise_is_told_at_its_place(text: str, expected: str) -> None:
    found = read_documents({"m.yml": text.encode()})[1]
    assert [str(one) for one in found if one.severity == "error"] == [f"m.yml:{expected}"]


def test_a_field_beside_another_spelling_of_it_is_left_out() -> None:
    text = API + "  mlComponent: {name: m}\n" + AUTH + AUTH.replace("Api", "API")
    manifests, found = read_documents({"m.yml": text.encode()})
    assert [str(one) for one in found] == [
        'm.yml:7:3: unknown field "restfulAPI"; did you mean "restfulApi"? (left out)'
    ]
    assert len(manifests) == 1
