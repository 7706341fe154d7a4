"""Manifests: the eight kinds, the position of each field in its file, and problems.

Owns the format and the rules within one manifest. Pure: it never reads a file or a database, and knows nothing of
runs; rules between the manifests of an app are in `services.registry.checks.catalog`.
"""

from libs.common.manifests.apicomponent import APIComponent
from libs.common.manifests.configmap import ConfigMap
from libs.common.manifests.databox import DataBox
from libs.common.manifests.experimentpipeline import ExperimentPipeline
from libs.common.manifests.kinds import KINDS, json_schema, read_example
from libs.common.manifests.manifest import InvalidManifest, Manifest
from libs.common.manifests.mlcomponent import MLComponent
from libs.common.manifests.platformapp import PlatformApp
from libs.common.manifests.problems import Problem
from libs.common.manifests.reading import read_documents, read_files
from libs.common.manifests.repository import Repository
from libs.common.manifests.secret import Secret

__all__ = [
    "KINDS",
    "APIComponent",
    "ConfigMap",
    "DataBox",
    "ExperimentPipeline",
    "InvalidManifest",
    "MLComponent",
    "Manifest",
    "PlatformApp",
    "Problem",
    "Repository",
    "Secret",
    "json_schema",
    "read_documents",
    "read_example",
    "read_files",
]
