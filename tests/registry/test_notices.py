from services.registry.catalog import check

MANIFESTS = b"""\
apiVersion: mlmesh/v1
kind: MLComponent
metadata: {name: one}
spec:
  image: {existingImageName: "any/image:1"}
  mlService: {inference: "m:f", python: /opt/python3}
  resources: {memory: 1Gi}
  security: {readOnlyRoot: true}
---
apiVersion: mlmesh/v1
kind: ExperimentPipeline
metadata: {name: two}
spec:
  vars: [{name: out}]
  stages: [{name: s, image: {existingImageName: "any/image:1"}, entryPoint: "true", outputs: [{name: out}]}]
"""
REST = "not applied: this mesh runs processes, which it does not isolate; mlmesh up --runtime docker does all of it"


def test_what_processes_do_not_do_is_a_warning_at_its_place() -> None:
    catalog, problems = check({"manifests/a.yml": MANIFESTS}, None, processes=True)
    assert catalog is not None
    assert [(one.line, one.severity, one.message) for one in problems] == [
        (
            4,
            "warning",
            f"image.existingImageName, resources.memory, security.readOnlyRoot, mlService.python are {REST}",
        ),
        (15, "warning", f"image.existingImageName is {REST}"),
    ]
    assert check({"manifests/a.yml": MANIFESTS}, None)[1] == []
