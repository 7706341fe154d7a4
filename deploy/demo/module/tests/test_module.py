# ruff: noqa: S101  a test asserts
"""The three stages and the function, one after another, without a platform."""

import os
import subprocess
import sys
from pathlib import Path

import joblib
from digits.service import recognize
from sklearn.datasets import load_digits

ROOT = Path(__file__).parent.parent


def stage(name: str, folder: Path, variables: list[str]) -> None:
    environ = {**os.environ, "MLMESH_PROGRESS": str(folder / "progress")}
    for variable in variables:
        (folder / variable).mkdir(exist_ok=True)
        environ[f"UNIP_PIPELINE_{variable.upper()}"] = str(folder / variable)
    subprocess.run([sys.executable, "-m", f"digits.{name}"], cwd=ROOT, env=environ, check=True)


def test_training_gives_a_model_that_recognizes_digits(tmp_path: Path) -> None:
    stage("prepare", tmp_path, ["samples"])
    stage("train", tmp_path, ["samples", "model"])
    stage("report", tmp_path, ["samples", "model", "report"])
    assert "never seen" in (tmp_path / "report" / "report.md").read_text()
    assert (tmp_path / "report" / "confusion.png").read_bytes().startswith(b"\x89PNG")
    digits, model = load_digits(), joblib.load(tmp_path / "model" / "model.joblib")
    answers = [recognize([{"name": "image", "data": list(one)}], model)[0]["data"][0] for one in digits.data[:100]]
    assert sum(int(said == true) for said, true in zip(answers, digits.target, strict=False)) >= 95
