from __future__ import annotations

from pathlib import Path

import pytest

from libs.common.errors import Invalid, NotFound
from libs.common.manifests import Secret, read_documents
from libs.common.templates.template import (
    LocalizedText,
    Parameter,
    Repository,
    RepositoryTemplate,
    TemplateDescription,
    get_template,
    list_templates,
)

TEXT = LocalizedText(en="whole pixels", ru="целые пиксели")
SIZE = Parameter(name="size", description=TEXT, default="256", pattern="[1-9][0-9]{0,3}")
REPOSITORY = Repository("leaf", "Leaf\n scan", "https://mesh.example")
NAMES = [template.name for template in list_templates()]


@pytest.fixture
def template(tmp_path: Path) -> RepositoryTemplate:
    (tmp_path / "template.yml").write_text("{}")
    (tmp_path / "README.md.in").write_text("# $title of $app, $size, $mesh, $$5\n")
    (tmp_path / "code/__pycache__").mkdir(parents=True)
    (tmp_path / "code/__pycache__/a.pyc").write_bytes(b"x")
    (tmp_path / "code/picture.bin").write_bytes(b"\xff$app")
    description = TemplateDescription(title=TEXT, description=TEXT, next=TEXT, parameters=(SIZE,))
    return RepositoryTemplate("scan", description, tmp_path)


def test_placeholders_are_filled_and_other_files_copied(template: RepositoryTemplate) -> None:
    assert template.render(REPOSITORY, {}) == {
        "README.md": b"# Leaf scan of leaf, 256, https://mesh.example, $5\n",
        "code/picture.bin": b"\xff$app",
    }
    assert template.render(REPOSITORY, {"size": "9"})["README.md"].startswith(b"# Leaf scan of leaf, 9,")


def test_a_value_that_does_not_fit_is_refused_with_the_form(template: RepositoryTemplate) -> None:
    with pytest.raises(Invalid) as refused:
        template.render(REPOSITORY, {"size": "9\nx: y"})
    assert refused.value.detail == (r"size cannot be '9\nx: y'; write whole pixels ([1-9][0-9]{0,3}), such as 256")


def test_an_unknown_parameter_is_refused_with_those_that_there_are(template: RepositoryTemplate) -> None:
    with pytest.raises(Invalid, match="the template scan has no parameter 'siez'; its parameters: size"):
        template.fill_parameters({"siez": "9"})


def test_an_unknown_template_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(NotFound) as refused:
        get_template("../cli")
    assert refused.value.detail == f"there is no template '../cli'; the templates are {', '.join(NAMES)}"


@pytest.mark.parametrize("name", NAMES)
def test_the_description_names_the_secrets_of_the_manifests(name: str) -> None:
    template = get_template(name)
    files = template.render(REPOSITORY, {})
    manifests, problems = read_documents({path: text for path, text in files.items() if path.startswith("manifests/")})
    assert not problems
    declared = {manifest.name: manifest.body.spec.keys for manifest in manifests if isinstance(manifest.body, Secret)}
    assert declared == {secret.name: secret.keys for secret in template.description.secrets}


@pytest.mark.parametrize("name", NAMES)
def test_every_template_has_a_readme_tests_and_a_pattern_for_its_defaults(name: str) -> None:
    template = get_template(name)
    files = template.render(REPOSITORY, {})
    assert files["README.md"].startswith(b"# Leaf scan\n")
    assert ".gitignore" in files
    assert any(path.startswith("tests/test_") for path in files)
    assert template.fill_parameters({}) == {item.name: item.default for item in template.description.parameters}
