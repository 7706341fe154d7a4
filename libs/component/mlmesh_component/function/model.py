"""Loads the model of a component: with the developer's loader, by file extension, or as its path."""

from __future__ import annotations

import importlib
import os
import pickle
import zipfile
from typing import Any, Callable

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""The first bytes of the pointer that Git LFS commits in place of a file."""


class ModelError(Exception):
    """The model cannot be loaded."""


def load_model(path: str | None, loader: Callable[[str], Any] | None) -> Any:
    """Load the model at `path` (None without a path); exceptions of the loader are not caught."""
    if path is None:
        return None
    if not os.path.exists(path):
        raise ModelError(f"there is no model at {path}")
    if _is_lfs_pointer(path):
        raise ModelError(
            f"{os.path.basename(path)} is a Git LFS pointer, not the model; get the file itself with git lfs pull, "
            "and upload that"
        )
    if loader is not None:
        return loader(path)
    ending = os.path.splitext(path)[1].lower()
    built_in = LOADERS.get(ending) if os.path.isfile(path) else None
    return built_in(path) if built_in else path


def _is_lfs_pointer(path: str) -> bool:
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.read(len(LFS_POINTER)) == LFS_POINTER


def _import_library(name: str, path: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ModelError(
            f"{os.path.basename(path)} needs the library {name}, which cannot be imported: {error}"
        ) from error


def _load_joblib(path: str) -> Any:
    return _import_library("joblib", path).load(path)


def _load_pickle(path: str) -> Any:
    try:
        return importlib.import_module("joblib").load(path)
    except ImportError:
        with open(path, "rb") as file:
            return pickle.load(file)  # noqa: S301 - the model is as trusted as the developer's code


def _load_onnx(path: str) -> Any:
    runtime = _import_library("onnxruntime", path)
    return runtime.InferenceSession(path, providers=runtime.get_available_providers())


def _load_torch(path: str) -> Any:
    """Load a TorchScript archive, or saved weights or modules, whose classes are in the developer's code."""
    torch = _import_library("torch", path)
    if _is_torchscript(path):
        return torch.jit.load(path, map_location="cpu")
    try:
        return torch.load(path, map_location="cpu", weights_only=False)  # the model is as trusted as the code
    except TypeError:  # an old torch without this parameter
        return torch.load(path, map_location="cpu")


def _is_torchscript(path: str) -> bool:
    """Whether the archive has code, as those of TorchScript do."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def _load_safetensors(path: str) -> Any:
    """Load as tensors of torch if it is installed, otherwise as arrays of numpy."""
    try:
        importlib.import_module("torch")
    except ImportError:
        return _import_library("safetensors.numpy", path).load_file(path)
    return _import_library("safetensors.torch", path).load_file(path)


LOADERS: dict[str, Callable[[str], Any]] = {
    ".joblib": _load_joblib,
    ".pkl": _load_pickle,
    ".pickle": _load_pickle,
    ".onnx": _load_onnx,
    ".pt": _load_torch,
    ".pth": _load_torch,
    ".safetensors": _load_safetensors,
}
