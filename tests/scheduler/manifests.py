"""The module that the scheduler's tests roll out: a chain of two stages, a component with a model, one without."""

from __future__ import annotations

from typing import Any

from libs.common.manifests.catalog import Catalog
from services.registry.checks.catalog import check_manifests

MANIFESTS = b"""
apiVersion: mlmesh/v1
kind: DataBox
metadata: {name: data}
spec: {s3DefaultStorage: {capacity: 1M}}
---
apiVersion: mlmesh/v1
kind: Secret
metadata: {name: callers}
spec: {keys: [alice]}
---
apiVersion: mlmesh/v1
kind: MLComponent
metadata: {name: echo}
spec:
  image: {existingImageName: "python:3.12"}
  mlService: {inference: "module:echo"}
---
apiVersion: mlmesh/v1
kind: MLComponent
metadata: {name: digits}
spec:
  image: {existingImageName: "python:3.12"}
  connectedBoxes: [data]
  mlService: {inference: "module:predict", modelBox: data, modelPath: weights/model.joblib}
---
apiVersion: mlmesh/v1
kind: ExperimentPipeline
metadata: {name: train}
spec:
  connectedBoxes: [data]
  vars: [{name: raw}, {name: rate}, {name: features}, {name: model}]
  stages:
    - name: prepare
      image: {existingImageName: "python:3.12"}
      entryPoint: python prepare.py
      inputs: [{name: raw}, {name: rate}]
      outputs: [{name: features}]
    - name: train
      image: {existingImageName: "python:3.12"}
      entryPoint: python train.py
      inputs: [{name: features}]
      outputs: [{name: model}]
---
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {name: train}
spec:
  experimentPipeline: {name: train}
  restfulApi: {path: train, auth: {basic: {credentials: callers}}}
  apiSpec:
    inputs:
      - {name: raw, type: {datatypes: [FILE]}}
      - {name: rate, required: false, type: {datatypes: [FP64]}}
    outputs: [{name: model}]
---
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {name: echo}
spec:
  mlComponent: {name: echo}
  restfulApi: {path: echo, auth: {apiKey: {}}}
"""


def catalog(text: bytes = MANIFESTS) -> Catalog:
    found, problems = check_manifests({"manifests/all.yaml": text}, "leaf")
    assert found is not None, problems
    return found


def catalog_json(text: bytes = MANIFESTS) -> dict[str, Any]:
    return {**catalog(text).to_json()}
