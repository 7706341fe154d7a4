from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
from mlmesh_component.model import ModelError, load


def test_without_a_path_there_is_no_model() -> None:
    assert load(None, None) is None


def test_an_unknown_ending_and_a_folder_are_their_path(tmp_path: Path) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(b"x")
    folder = tmp_path / "model.pkl"
    folder.mkdir()
    assert load(str(file), None) == str(file)
    assert load(str(folder), None) == str(folder)


@pytest.mark.parametrize("ending", [".pkl", ".pickle", ".PKL"])
def test_a_pickle_is_loaded_without_joblib_too(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"model{ending}"
    file.write_bytes(pickle.dumps({"a": 1}))
    assert load(str(file), None) == {"a": 1}


def test_ones_own_loader_wins(tmp_path: Path) -> None:
    file = tmp_path / "model.pkl"
    file.write_bytes(b"not a pickle")
    assert load(str(file), lambda path: f"loaded {path}") == f"loaded {file}"


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
        load(str(file), None)


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
        assert load(str(file), None) == model


def test_a_model_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ModelError, match=r"^there is no model at /nowhere$"):
        load("/nowhere", None)
