from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from libs.common.templates.template import list_templates
from services.cli.cli_errors import WrongUsage
from services.cli.init import app_name
from tests.cli.conftest import Run
from tests.servers.provision import environment


@pytest.mark.parametrize("template", [template.name for template in list_templates()])
def test_a_template_validates_and_passes_its_own_tests(run: Run, tmp_path: Path, template: str) -> None:
    folder = tmp_path / 'My "50%" Module'
    assert run("init", str(folder), "--template", template).code == 0
    assert run("validate", str(folder)).err.endswith("no errors\n")
    assert f'url: "{tmp_path.as_uri()}/My%20%2250%25%22%20Module"' in (folder / "app.yaml").read_text()
    assert "metadata: {name: my--50---module}" in (folder / "app.yaml").read_text()
    linter = [sys.executable, "-m", "ruff", "check", "--line-length", "120", "."]
    for check in ([str(choose_interpreter(folder, template)), "-m", "pytest", "-q", "-p", "no:asyncio"], linter):
        done = subprocess.run(check, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def choose_interpreter(folder: Path, template: str) -> Path:
    """With what the module's requirements.txt names, if it has one."""
    requirements = folder / "requirements.txt"
    if not requirements.exists():
        return Path(sys.executable)
    return environment(f"template-{template}", *requirements.read_text().split(), "pytest")


def test_a_folder_with_something_in_it_is_left_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    done = run("init", str(tmp_path))
    assert (done.code, done.err) == (1, f"mlmesh: {tmp_path} is not empty; choose a new folder\n")


def test_the_list_has_each_template_with_what_it_is(run: Run) -> None:
    done = run("init", "--list")
    lines = done.out.splitlines()
    assert done.code == 0
    assert [line.split()[0] for line in lines[1:]] == [template.name for template in list_templates()]
    assert all(template.description.description.en in done.out for template in list_templates())


def test_a_parameter_that_the_template_does_not_have_is_refused(run: Run, tmp_path: Path) -> None:
    done = run("init", str(tmp_path / "x"), "--template", "classifier", "--parameter", "size=9")
    assert (done.code, (tmp_path / "x").exists()) == (2, False)
    assert "the template classifier has no parameter 'size'" in done.err


def test_the_readme_names_the_mesh_that_the_command_speaks_to(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLMESH_URL", "https://mesh.example")
    assert run("init", str(tmp_path / "texts")).code == 0
    assert "git push https://mesh.example/git/texts.git main" in (tmp_path / "texts/README.md").read_text()


def test_an_unknown_template_names_the_known_ones(run: Run, tmp_path: Path) -> None:
    done = run("init", str(tmp_path / "x"), "--template", "nonsense")
    assert done.code == 2
    names = ", ".join(template.name for template in list_templates())
    assert f"there is no template 'nonsense'; the templates are {names}" in done.err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("folder", "name"), [("leafscan", "leafscan"), ("My Module_2", "my-module-2"), ("-x-", "x"), ("a" * 80, "a" * 63)]
)
def test_an_app_is_named_after_its_folder(folder: str, name: str) -> None:
    assert app_name(folder) == name


def test_a_folder_without_letters_gives_no_name() -> None:
    with pytest.raises(WrongUsage):
        app_name("---")
