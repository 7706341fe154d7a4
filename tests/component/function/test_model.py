from __future__ import annotations

import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlmesh_component
import pytest
from mlmesh_component.function.model import ModelError, load_model

from tests.servers.provision import environment


def test_without_a_path_there_is_no_model() -> None:
    assert load_model(None, None) is None


def test_an_unknown_ending_and_a_folder_are_their_path(tmp_path: Path) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(b"x")
    folder = tmp_path / "model.pkl"
    folder.mkdir()
    assert load_model(str(file), None) == str(file)
    assert load_model(str(folder), None) == str(folder)


@pytest.mark.parametrize("ending", [".pkl", ".pickle", ".PKL"])
def test_a_pickle_is_loaded_without_joblib_too(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"model{ending}"
    file.write_bytes(pickle.dumps({"a": 1}))
    assert load_model(str(file), None) == {"a": 1}


@pytest.mark.parametrize("name", ["model.pkl", "model.onnx", "weights"])
@pytest.mark.parametrize("loader", [None, str])
def test_a_git_lfs_pointer_is_said_to_be_one(tmp_path: Path, name: str, loader: Callable[[str], Any] | None) -> None:
    file = tmp_path / name
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n")
    with pytest.raises(ModelError, match=f"^{name} is a Git LFS pointer, not the model; get the file itself with git"):
        load_model(str(file), loader)


def test_ones_own_loader_wins(tmp_path: Path) -> None:
    file = tmp_path / "model.pkl"
    file.write_bytes(b"not a pickle")
    assert load_model(str(file), lambda path: f"loaded {path}") == f"loaded {file}"


@pytest.mark.parametrize(
    ("ending", "library"),
    [
        (".onnx", "onnxruntime"),
        (".pt", "torch"),
        (".pth", "torch"),
        (".safetensors", "safetensors"),
        (".joblib", "joblib"),
    ],
)
def test_a_missing_library_is_named(tmp_path: Path, ending: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("onnxruntime", "torch", "safetensors", "safetensors.numpy", "joblib"):
        monkeypatch.setitem(sys.modules, name, None)
    file = tmp_path / f"model{ending}"
    file.write_bytes(b"x")
    with pytest.raises(ModelError, match=f"^model{ending} needs the library {library}"):
        load_model(str(file), None)


def test_each_ending_has_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, "torch", None)
    sources = {
        "joblib": "def load(path): return 'joblib'",
        "onnxruntime": "def get_available_providers(): return ['cpu']\n"
        "def InferenceSession(path, providers): return ('onnx', providers)",
        "safetensors/numpy": "def load_file(path): return 'safetensors'",
    }
    (tmp_path / "safetensors").mkdir()
    for name, source in sources.items():
        (tmp_path / f"{name}.py").write_text(source)
    expected: dict[str, Any] = {".joblib": "joblib", ".onnx": ("onnx", ["cpu"]), ".safetensors": "safetensors"}
    for ending, model in expected.items():
        file = tmp_path / f"model{ending}"
        file.write_bytes(b"x")
        assert load_model(str(file), None) == model


TORCH = """\
import types

def load(path, **how):
    if OLD and "weights_only" in how:
        raise TypeError("unexpected keyword")
    return ("saved", how)

jit = types.SimpleNamespace(load=lambda path, **how: ("script", how))
"""


@pytest.mark.parametrize("old", [False, True])
def test_a_file_of_torch_is_a_script_or_what_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bool
) -> None:
    (tmp_path / "torch.py").write_text(f"OLD = {old}\n" + TORCH)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    for name, entry in (("script.pt", "script/code/__torch__.py"), ("saved.pth", "saved/data.pkl")):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(entry, "")
    try:
        assert load_model(str(tmp_path / "script.pt"), None) == ("script", {"map_location": "cpu"})
        how = {"map_location": "cpu"} if old else {"map_location": "cpu", "weights_only": False}
        assert load_model(str(tmp_path / "saved.pth"), None) == ("saved", how)
    finally:
        sys.modules.pop("torch", None)


def test_models_of_the_real_libraries_are_loaded() -> None:
    python = environment("models", "onnxruntime", "onnx", "joblib", "safetensors", "numpy")
    runtime = Path(mlmesh_component.__file__).parent.parent
    done = subprocess.run(
        [str(python), str(Path(__file__).parents[1] / "programs" / "real_models.py")],
        env={"PYTHONPATH": str(runtime), "PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "loaded"), done.stderr


def test_a_model_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ModelError, match=r"^there is no model at /nowhere$"):
        load_model("/nowhere", None)
