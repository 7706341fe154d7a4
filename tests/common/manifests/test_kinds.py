"""The examples are the documentation: each is read without a problem, fits its schema and names every field."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from libs.common.manifests import KINDS, example, json_schema, read_documents
from libs.common.manifests.fields import Section
from libs.common.manifests.parsing import parse
from libs.common.manifests.planned import PLANNED
from libs.common.manifests.sentences import sections


def test_there_are_seven_kinds() -> None:
    assert set(KINDS) == {
        "APIComponent", "DataBox", "ExperimentPipeline", "MLComponent", "PlatformApp", "Repository", "Secret",
    }  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_is_read_without_a_problem(kind: str) -> None:
    manifests, problems = read_documents({"m.yml": example(kind).encode()})
    assert ([manifest.kind for manifest in manifests], problems) == ([kind], [])


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_fits_its_schema(kind: str) -> None:
    schema = json_schema(kind)
    Draft202012Validator.check_schema(schema)
    (root,) = parse(example(kind).encode())
    assert list(Draft202012Validator(schema).iter_errors(root.plain())) == []
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_refuses_what_the_reader_refuses(kind: str) -> None:
    (root,) = parse(example(kind).encode())
    data: Any = root.plain()
    data["spec"]["typo"] = 1
    data["metadata"]["name"] = "Not_A_Label"
    errors = Draft202012Validator(json_schema(kind)).iter_errors(data)
    assert sorted(error.json_path for error in errors) == ["$.metadata.name", "$.spec"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_names_every_field(kind: str) -> None:
    written = set(re.findall(r"(\w+):", example(kind)))
    assert {field for section in sections_of(KINDS[kind]) for field in aliases(section)} - written == set()


@pytest.mark.parametrize("kind", KINDS)
def test_every_line_of_an_example_that_is_planned_says_so(kind: str) -> None:
    for entry in PLANNED:
        if entry.kind == kind:
            field = entry.path.rsplit(".", 1)[-1]
            lines = [line for line in example(kind).splitlines() if re.search(rf"\b{field}:", line)]
            assert any("planned" in line for line in lines) or field == "scaling", field


@pytest.mark.parametrize("kind", KINDS)
def test_a_dumped_model_is_read_as_an_equal_one(kind: str) -> None:
    ((manifest,), _) = read_documents({"m.yml": example(kind).encode()})
    dumped = manifest.body.model_dump(mode="json", by_alias=True)
    assert KINDS[kind].model_validate(dumped) == manifest.body
    assert KINDS[kind].model_validate(dumped, by_alias=True, by_name=False) == manifest.body


@pytest.mark.parametrize("make", [json_schema, example])
def test_an_unknown_kind_is_a_key_error(make: Any) -> None:
    with pytest.raises(KeyError):
        make("Deployment")


def sections_of(model: type[Any]) -> Iterator[type[Section]]:
    yield model
    for field in model.model_fields.values():
        for inner in sections(field.annotation):
            yield from sections_of(inner)


def aliases(section: type[Section]) -> set[str]:
    return {field.alias or name for name, field in section.model_fields.items()}
