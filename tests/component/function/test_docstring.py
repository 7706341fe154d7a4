from __future__ import annotations

import pytest
from mlmesh_component.function.docstring import parse_parameter_texts, parse_schema, parse_summary
from mlmesh_component.function.schema import SchemaError

TEXT = """Classify a digit.

    Over two lines.

    :param inputs.pixels: the picture,
        row by row
    :type inputs.pixels: FP32 or FP64
    :param inputs.note: a note
    :type inputs.note: str, optional
    :param outputs.label: the digit
    :type outputs.label: INT32
    :returns: outputs
    """


def test_the_docstring_is_the_schema() -> None:
    schema = parse_schema(TEXT)
    assert schema is not None
    assert [(f.name, f.type.datatypes, f.required, f.description) for f in schema.inputs] == [
        ("pixels", ("FP32", "FP64"), True, "the picture, row by row"),
        ("note", ("str",), False, "a note"),
    ]
    assert [(f.name, f.type.datatypes) for f in schema.outputs] == [("label", ("INT32",))]
    assert not schema.is_open
    assert schema.description == "Classify a digit.\n\nOver two lines."


@pytest.mark.parametrize("text", [None, "", "Just words.", ":param inputs: all of them\n:type inputs: list"])
def test_a_docstring_without_names_is_no_schema(text: str | None) -> None:
    assert parse_schema(text) is None


@pytest.mark.parametrize(
    ("written", "datatypes", "required"),
    [
        ("FP32", ("FP32",), True),
        ("FP32 or FP64 or INT32", ("FP32", "FP64", "INT32"), True),
        ("FP32, optional", ("FP32",), False),
        ("FP32 or FP64, optional", ("FP32", "FP64"), False),
        ("FP32 | FP64", ("FP32", "FP64"), True),
        ("FILE , optional", ("FILE",), False),
        ("", (), True),
        ("optional", (), False),
    ],
)
def test_types_are_read_as_people_write_them(written: str, datatypes: tuple[str, ...], required: bool) -> None:
    schema = parse_schema(f":type inputs.x: {written}")
    assert schema is not None
    assert (schema.inputs[0].type.datatypes, schema.inputs[0].required) == (datatypes, required)


def test_outputs_alone_leave_the_inputs_open() -> None:
    schema = parse_schema(":type outputs.y: str")
    assert schema is not None
    assert schema.is_open


def test_an_unknown_datatype_is_refused_by_name() -> None:
    with pytest.raises(SchemaError, match=r"^inputs\.x: unknown datatype 'FP23'; known are FP32, "):
        parse_schema(":type inputs.x: FP23")


def test_plain_parameters_have_descriptions() -> None:
    assert parse_parameter_texts("Greets.\n\n:param name: whom\n:param int times: how often") == {
        "name": "whom",
        "times": "how often",
    }


def test_the_summary_ends_at_the_first_field() -> None:
    assert parse_summary("A.\n\nB.\n:param x: y\nC") == "A.\n\nB."
