"""Which packages a repository asks for, and what is told when nobody reads it."""

import pytest

from libs.common.python_packages import InvalidProject, Requirements, check_requirements, find_requirements

STATIC = b"[project]\nname='a'\ndependencies=['numpy', 'scipy>=1']\n"
BACKEND = b"[build-system]\nrequires=['hatchling']\n"
POETRY = b"[tool.poetry]\nname='a'\n"
WHOLE = Requirements(installs_repository=True)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, Requirements()),
        ({"requirements.txt": b"numpy\n", "pyproject.toml": BACKEND, "setup.py": b""}, Requirements("numpy\n")),
        ({"requirements.txt": b"", "pyproject.toml": b"nonsense"}, Requirements("")),
        ({"pyproject.toml": STATIC}, Requirements("numpy\nscipy>=1\n")),
        ({"pyproject.toml": STATIC + BACKEND}, Requirements("numpy\nscipy>=1\n")),
        ({"pyproject.toml": b"[project]\nname='a'\n"}, Requirements()),
        ({"pyproject.toml": b"[tool.ruff]\n"}, Requirements()),
        ({"pyproject.toml": b"[project]\nname='a'\ndynamic=['dependencies']\n"}, WHOLE),
        ({"pyproject.toml": STATIC, "src/a/__init__.py": b""}, WHOLE),
        ({"pyproject.toml": STATIC, "src/a.py": b""}, WHOLE),
        ({"pyproject.toml": STATIC, "src/__init__.py": b"", "src/a.py": b""}, Requirements("numpy\nscipy>=1\n")),
        ({"pyproject.toml": BACKEND}, WHOLE),
        ({"pyproject.toml": POETRY + BACKEND}, WHOLE),
        ({"pyproject.toml": POETRY}, Requirements()),
        ({"pyproject.toml": POETRY + b"package-mode=false\n" + BACKEND}, Requirements()),
        ({"setup.py": b""}, WHOLE),
        ({"setup.py": b"", "pyproject.toml": b"[tool.ruff]\n"}, WHOLE),
    ],
)
def test_what_is_installed(files: dict[str, bytes], expected: Requirements) -> None:
    assert find_requirements(files) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("project = 7", "project must be a table, written as [project]"),
        ("project = []", "project must be a table"),
        ("[tool]\npoetry = 1\n[build-system]", "poetry must be a table"),
        ("[project]\ndependencies = 'numpy'", "[project] dependencies must be a list of strings"),
        ("[project]\ndependencies = [1]", "[project] dependencies must be a list of strings"),
        ("[project]\ndependencies = {numpy = '*'}", "[project] dependencies must be a list of strings"),
        ("[project]\ndynamic = 'dependencies'", "[project] dynamic must be a list of strings"),
        ("[project", "cannot be parsed"),
        ("\udcff", "cannot be parsed"),
    ],
)
def test_a_project_of_a_wrong_form_is_told_in_a_sentence(text: str, words: str) -> None:
    files = {"pyproject.toml": text.encode(errors="surrogateescape")}
    with pytest.raises(InvalidProject, match=r"pyproject\.toml") as caught:
        find_requirements(files)
    assert words in str(caught.value)
    (told,) = check_requirements(files)
    assert (told.file, told.severity) == ("pyproject.toml", "warning")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"Pipfile": b""}, [("Pipfile", "write what the components import into requirements.txt")]),
        ({"environment.yml": b""}, [("environment.yml", "write what the components import into requirements.txt")]),
        ({"Pipfile": b"", "requirements.txt": b"numpy"}, []),
        ({"Pipfile": b"", "pyproject.toml": STATIC}, []),
        ({"pyproject.toml": POETRY}, [("pyproject.toml", "only with [build-system]")]),
        ({"pyproject.toml": POETRY + b"package-mode=false\n" + BACKEND}, [("pyproject.toml", "package-mode = false")]),
        ({"pyproject.toml": POETRY + BACKEND}, []),
        ({"pyproject.toml": b"[dependency-groups]\na=['numpy']"}, [("pyproject.toml", "dependencies of [project]")]),
        ({"pyproject.toml": STATIC + b"[dependency-groups]\na=['numpy']"}, []),
        ({"src/a/__init__.py": b""}, [("src", "pyproject.toml that has [project]")]),
        ({"src/a/__init__.py": b"", "requirements.txt": b"numpy"}, [("src", 'add a line "." to requirements.txt')]),
        ({"src/a/__init__.py": b"", "requirements.txt": b"numpy\n-e .\n"}, []),
        ({"src/a/__init__.py": b"", "pyproject.toml": STATIC}, []),
        ({"src/__init__.py": b"", "src/a.py": b""}, []),
        ({}, []),
    ],
)
def test_what_nobody_reads_is_told_with_what_to_write_instead(
    files: dict[str, bytes], expected: list[tuple[str, str]]
) -> None:
    found = list(check_requirements(files))
    assert [one.file for one in found] == [file for file, _words in expected]
    for one, (_file, words) in zip(found, expected, strict=True):
        assert words in one.message
        assert one.severity == "warning"
