"""The examples are the documentation: each is read without a problem, fits its schema and names every field."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from libs.common.manifests import KINDS, json_schema, read_documents, read_example
from libs.common.manifests.fields import Section
from libs.common.manifests.messages import nested_models
from libs.common.manifests.parsing import parse
from libs.common.manifests.unsupported import UNSUPPORTED_FIELDS

PAGE = Path(__file__).parents[3] / "docs/manifests.md"


def test_there_are_eight_kinds() -> None:
    assert set(KINDS) == {
        "APIComponent", "ConfigMap", "DataBox", "ExperimentPipeline", "MLComponent", "PlatformApp", "Repository",
        "Secret",
    }  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_is_read_without_a_problem(kind: str) -> None:
    manifests, problems = read_documents({"m.yml": read_example(kind).encode()})
    assert ([manifest.kind for manifest in manifests], problems) == ([kind], [])


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_fits_its_schema(kind: str) -> None:
    schema = json_schema(kind)
    Draft202012Validator.check_schema(schema)
    (root,) = parse(read_example(kind).encode())
    assert list(Draft202012Validator(schema).iter_errors(root.to_plain())) == []
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_refuses_what_the_reader_refuses(kind: str) -> None:
    (root,) = parse(read_example(kind).encode())
    data: Any = root.to_plain()
    data.get("spec", data)["typo"] = 1
    data["metadata"]["name"] = "Not_A_Label"
    errors = Draft202012Validator(json_schema(kind)).iter_errors(data)
    assert sorted(error.json_path for error in errors) == sorted(
        ["$.metadata.name", "$.spec" if "spec" in data else "$"]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_names_every_field(kind: str) -> None:
    written = set(re.findall(r"(\w+):", read_example(kind)))
    assert {field for section in sections_of(KINDS[kind]) for field in aliases(section)} - written == set()


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_says_planned_of_what_is_refused_and_of_nothing_else(kind: str) -> None:
    refused = {entry.path for entry in UNSUPPORTED_FIELDS if entry.kind == kind}
    lines = dict(fields(read_example(kind)))
    below = {path for path in lines if any(path == one or path.startswith(f"{one}.") for one in refused)}
    assert {path for path, line in lines.items() if "planned" in line} == below
    assert refused - below == set()


def test_the_page_names_every_field_that_is_planned() -> None:
    (named,) = re.findall(r"marked \*planned\* is refused for now:\s((?:`[^`]+`[,\s]*)+)\.", PAGE.read_text())
    ends = {".".join(entry.path.split(".")[-2:]) for entry in UNSUPPORTED_FIELDS}
    assert set(re.findall(r"`([\w.]+)[^`]*`", named)) == ends


@pytest.mark.parametrize("kind", KINDS)
def test_a_dumped_model_is_read_as_an_equal_one(kind: str) -> None:
    ((manifest,), _) = read_documents({"m.yml": read_example(kind).encode()})
    dumped = manifest.body.model_dump(mode="json", by_alias=True)
    assert KINDS[kind].model_validate(dumped) == manifest.body
    assert KINDS[kind].model_validate(dumped, by_alias=True, by_name=False) == manifest.body


@pytest.mark.parametrize("make", [json_schema, read_example])
def test_an_unknown_kind_is_a_key_error(make: Any) -> None:
    with pytest.raises(KeyError):
        make("Deployment")


def sections_of(model: type[Any]) -> Iterator[type[Section]]:
    yield model
    for field in model.model_fields.values():
        for inner in nested_models(field.annotation):
            yield from sections_of(inner)


def aliases(section: type[Section]) -> set[str]:
    return {field.alias or name for name, field in section.model_fields.items()}


def fields(text: str) -> Iterator[tuple[str, str]]:
    """The path of every line's field, those in comments too, and the line; `*` stands for an item of a list."""
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        found = re.match(r"( *)(?:# )?( *)((?:- )?)(\w+):(?: |$)", line)
        if found is None:
            continue
        column = len(found[1] + found[2])
        above = [one for one in above if one[0] < column]
        above += [(column, "*")] if found[3] else []
        above += [(column + len(found[3]), found[4])]
        yield ".".join(name for _, name in above), line
