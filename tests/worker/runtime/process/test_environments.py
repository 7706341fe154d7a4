"""Virtual environments: which repositories share one, and what is installed in it."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from services.worker.file_lock import hold_file_lock
from services.worker.runtime import RuntimeFailure
from services.worker.runtime.process.environments import VirtualEnvironments, environment_key, read_requirements
from services.worker.runtime.process.installer import (
    DEFAULT_TIMEOUTS,
    InstallTimeouts,
    installer_environment,
    run_installer,
)


def make_key(folder: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return environment_key(read_requirements(folder), folder)


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ({"requirements.txt": "numpy\n"}, {"requirements.txt": "numpy\n"}, True),
        ({"requirements.txt": "numpy\n"}, {"requirements.txt": "scipy\n"}, False),
        ({}, {"a.py": ""}, True),
        ({}, {"requirements.txt": ""}, False),
        ({"requirements.txt": "-r b.txt", "b.txt": "x"}, {"requirements.txt": "-r b.txt", "b.txt": "x"}, True),
        ({"requirements.txt": "-r b.txt", "b.txt": "x"}, {"requirements.txt": "-r b.txt", "b.txt": "y"}, False),
        ({"requirements.txt": "--constraint=b.txt", "b.txt": "x"},
         {"requirements.txt": "--constraint=b.txt", "b.txt": "y"}, False),
        ({"requirements.txt": "-r b.txt", "b.txt": "-r c.txt", "c.txt": "x"},
         {"requirements.txt": "-r b.txt", "b.txt": "-r c.txt", "c.txt": "y"}, False),
        ({"requirements.txt": "-e ."}, {"requirements.txt": "-e ."}, False),
        ({"requirements.txt": "./vendored"}, {"requirements.txt": "./vendored"}, False),
        ({"requirements.txt": "-r requirements.txt"}, {"requirements.txt": "-r requirements.txt"}, True),
        ({"requirements.txt": "-r d/b.txt", "d/b.txt": "-r c.txt", "d/c.txt": "x"},
         {"requirements.txt": "-r d/b.txt", "d/b.txt": "-r c.txt", "d/c.txt": "y"}, False),
        ({"requirements.txt": "-r b.txt", "b.txt": "./v"}, {"requirements.txt": "-r b.txt", "b.txt": "./v"}, False),
        ({"pyproject.toml": "[project]\nname='a'\ndependencies=['numpy']"},
         {"pyproject.toml": "[project]\nname='b'\ndependencies=['numpy']"}, True),
        ({"pyproject.toml": "[project]\ndependencies=['shared @ file:///a/b']"},
         {"pyproject.toml": "[project]\ndependencies=['shared @ file:///a/b']"}, False),
        ({"setup.py": ""}, {"setup.py": ""}, False),
        ({"pyproject.toml": "[build-system]"}, {"pyproject.toml": "[build-system]"}, False),
    ],
)  # fmt: skip
def test_an_environment_is_shared_by_what_asks_for_the_same(
    tmp_path: Path, first: dict[str, str], second: dict[str, str], shared: bool
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    assert (make_key(tmp_path / "one", first) == make_key(tmp_path / "other", second)) is shared


SPELLINGS = {
    "numpy": True,
    "numpy==2.1": True,
    "numpy[extra]>=2,<3; python_version > '3.8'": True,
    "numpy  # libs/shared": True,
    "numpy \\\n  >=2": True,
    "numpy==2 --hash=sha256:abc": True,
    "shared @ https://example.org/shared.whl": True,
    "git+https://example.org/shared.git@v1": True,
    "shared @ git+ssh://git@example.org/shared.git": True,
    "--index-url https://example.org/simple\nnumpy": True,
    "--pre\n--no-index\nnumpy": True,
    "-r https://example.org/more.txt": True,
    "libs/shared": False,
    "./libs/shared": False,
    ".": False,
    "..": False,
    "/opt/shared": False,
    ".[extra]": False,
    "libs/shared[extra]": False,
    "libs/shared ; python_version > '3.8'": False,
    "-elibs/shared": False,
    "-e libs/shared": False,
    "-e=libs/shared": False,
    "--editable libs/shared": False,
    "--editable=libs/shared": False,
    "-e git+https://example.org/shared.git#egg=shared": False,
    "shared @ file:libs/shared": False,
    "shared@file:///opt/shared": False,
    "file:libs/shared": False,
    "shared-1.0-py3-none-any.whl": False,
    "SHARED-1.0.TAR.GZ": False,
    "shared-1.0-py3-none-any.whl[extra]": False,
    "shared.zip": False,
    "numpy\n  ./libs/shared": False,
    "--find-links wheels\nshared": False,
    "-fwheels\nshared": False,
    "--extra-index-url file:///opt/index\nnumpy": False,
    "${PWD}/libs/shared": False,
    "-r missing.txt": False,
    "--requi more.txt": False,
    "--something-new x": False,
    "-r 'unbalanced": False,
    "\\\n./libs/shared": False,
}


@pytest.mark.parametrize(("text", "shared"), SPELLINGS.items(), ids=SPELLINGS)
def test_what_pip_may_read_of_the_repository_is_not_shared_by_commits(tmp_path: Path, text: str, shared: bool) -> None:
    files = {"requirements.txt": f"scipy\n{text}\n", "more.txt": "x"}
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    assert (make_key(tmp_path / "one", files) == make_key(tmp_path / "other", files)) is shared


LISTS = (
    "-r more.txt", "-rmore.txt", "-r more.txt # why", "--requirement more.txt", "--requirement=more.txt",
    "-r  './more.txt'", "-c more.txt", "-cmore.txt", "--constraint=more.txt", "  -r more.txt", "-r \\\nmore.txt",
    "-r sub/../more.txt",
)  # fmt: skip


@pytest.mark.parametrize("line", LISTS)
def test_lists_that_a_list_names_count_by_their_text(tmp_path: Path, line: str) -> None:
    def key_of(name: str, listed: str) -> str:
        (tmp_path / name / "sub").mkdir(parents=True)
        return make_key(tmp_path / name, {"requirements.txt": f"{line}\nscipy\n", "more.txt": listed})

    assert key_of("one", "numpy==1\n") == key_of("same", "numpy==1\n")
    assert key_of("newer", "numpy==2\n") != key_of("older", "numpy==1\n")
    assert key_of("here", "libs/shared\n") != key_of("there", "libs/shared\n")


BACKEND = """
import pathlib, zipfile

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    pathlib.Path("left-behind").touch()
    name = "module-1-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory, name), "w") as wheel:
        wheel.write("src/module.py", "module.py")
        wheel.writestr("module-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: module\\nVersion: 1\\n")
        wheel.writestr("module-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("module-1.dist-info/RECORD", "")
    return name
"""
BUILT = "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"


def test_a_package_of_any_build_backend_is_installed_whole_and_the_checkout_stays_clean(tmp_path: Path) -> None:
    source = tmp_path / "commit"
    files = {"pyproject.toml": BUILT, "backend.py": BACKEND, "src/module.py": "VALUE = 7\n"}
    make_key(source, files)
    environments = VirtualEnvironments(tmp_path / "environments")
    asyncio.run(environments.build(source, lambda _text: None))
    python = environments.environment_folder(source) / "bin" / "python"
    completed = subprocess.run(
        [python, "-c", "import module; print(module.VALUE)"], capture_output=True, text=True, check=True
    )
    assert completed.stdout == "7\n"
    assert sorted(path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()) == sorted(files)
    assert [path.name for path in (tmp_path / "environments").glob("build-*")] == []


async def test_an_environment_whose_python_is_gone_is_made_again(tmp_path: Path) -> None:
    environments = VirtualEnvironments(tmp_path / "environments")
    python = environments.environment_folder(None) / "bin" / "python"
    for _ in range(2):
        await environments.build(None, lambda _text: None)
        assert python.exists()
        python.unlink()
        python.symlink_to(tmp_path / "removed")


async def test_a_project_of_a_wrong_form_fails_the_start_with_a_sentence(tmp_path: Path) -> None:
    make_key(tmp_path, {})
    (tmp_path / "pyproject.toml").write_text("project = 7\n")
    with pytest.raises(RuntimeFailure, match=r"pyproject\.toml: project must be a table") as caught:
        await VirtualEnvironments(tmp_path / "environments").build(tmp_path, lambda _text: None)
    assert caught.value.code == "source"


SAYS = "for n in 1 2 3 4 5; do sleep 0.5; echo Progress ${n}000000 of 5000000; done; "


async def test_what_says_something_is_not_cut_and_its_progress_is_told() -> None:
    progress: list[str] = []
    await run_installer(
        ["/bin/sh", "-c", SAYS + "echo done"], None, progress.append, InstallTimeouts(silence=2.0, total=60.0)
    )
    assert progress == [*(f"downloaded {n}.0 of 5.0 MB" for n in range(1, 6)), "done"]


@pytest.mark.parametrize(
    ("script", "patience", "expected"),
    [
        ("echo one; exit 3", DEFAULT_TIMEOUTS, "cannot install the requirements:\none"),
        ("cat; echo one; exit 3", DEFAULT_TIMEOUTS, "cannot install the requirements:\none"),
        (
            "echo one; sleep 60", InstallTimeouts(1.0, 60.0),
            "cannot install the requirements: no output for 1 s; last lines:\none",
        ),
        (
            "while :; do echo one; sleep 0.4; done", InstallTimeouts(60.0, 1.0),
            "cannot install the requirements within 1 s:",
        ),
    ],
    ids=["it fails", "nobody answers its questions", "silent", "endless"],
)  # fmt: skip
async def test_what_cannot_be_installed_is_told_with_its_last_lines(
    script: str, patience: InstallTimeouts, expected: str
) -> None:
    with pytest.raises(RuntimeFailure) as failed:
        await run_installer(["/bin/sh", "-c", script], None, lambda _text: None, patience)
    assert str(failed.value).startswith(expected)


async def test_what_an_installation_has_started_ends_with_it(tmp_path: Path) -> None:
    """A lock that its child process held is released."""
    held = tmp_path / "held"
    script = f"exec 9>{held}; flock 9; sleep 60 & echo started; wait"
    with pytest.raises(RuntimeFailure):
        await run_installer(["/bin/sh", "-c", script], None, lambda _text: None, InstallTimeouts(1.0, 60.0))
    async with asyncio.timeout(10), hold_file_lock(held):
        pass


def test_an_installation_knows_no_key_of_the_mesh_and_the_operators_word_on_git_counts() -> None:
    variables = {"MLMESH_SECRET_KEY": "x", "PATH": "/bin", "GIT_HTTP_LOW_SPEED_TIME": "600"}
    assert installer_environment(variables) == {
        "PATH": "/bin", "GIT_TERMINAL_PROMPT": "0",
        "GIT_HTTP_LOW_SPEED_LIMIT": "1000", "GIT_HTTP_LOW_SPEED_TIME": "600",
    }  # fmt: skip


async def test_a_package_that_nobody_sends_fails_the_start(tmp_path: Path) -> None:
    """An index that never responds, while pip's own timeout is longer."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        index = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/simple"
        (tmp_path / "requirements.txt").write_text(f"--index-url {index}\nnothing-of-this-name\n")
        environments = VirtualEnvironments(tmp_path / "environments", InstallTimeouts(silence=8.0, total=60.0))
        with pytest.raises(RuntimeFailure, match="no output for 8 s; last lines:") as failed:
            await environments.build(tmp_path, lambda _text: None)
        assert failed.value.code == "source"
