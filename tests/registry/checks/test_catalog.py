# ruff: noqa: E501  -- a case is a line: what is written, and what is answered
"""Rules between the manifests of an app."""

import json
from typing import Any

import pytest

from libs.common.manifests import ExperimentPipeline, read_example
from services.registry.checks.catalog import Catalog, check_manifests

NAMESPACE = "pu-petrova-pa-leafscan"


def format_header(kind: str, name: str, extra: str = "") -> str:
    return f"apiVersion: mlmesh/v1\nkind: {kind}\nmetadata: {{name: {name}{extra}}}\nspec:\n"


BOX = format_header("DataBox", "weights") + "  s3DefaultStorage: {}\n"
SECRET = format_header("Secret", "users") + "  keys: [petrova.pa, TOKEN]\n"
TOKEN = format_header("Secret", "token") + "  keys: [TOKEN]\n"
SETTINGS = "apiVersion: mlmesh/v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {A: x}\n"
COMPONENT = (
    format_header("MLComponent", "digits") + '  image: {existingImageName: app}\n  mlService: {inference: "a:f"}\n'
)
API = (
    format_header("APIComponent", "digits")
    + "  mlComponent: {name: digits}\n  restfulApi: {path: digits, auth: {none: {}}}\n"
)
PIPELINE = (
    format_header("ExperimentPipeline", "train")
    + "  vars: [{name: photos}, {name: table}, {name: model}]\n"
    + "  stages:\n"
    + "    - {name: prepare, image: {existingImageName: i}, inputs: [{name: photos}], outputs: [{name: table}]}\n"
    + "    - {name: fit, image: {existingImageName: i}, inputs: [{name: table}], outputs: [{name: model}]}\n"
)
TRAIN = (
    format_header("APIComponent", "train")
    + "  experimentPipeline: {name: train}\n  restfulApi: {path: train, auth: {none: {}}}\n"
)
FILE = "{name: photos, type: {datatypes: [FOLDER]}}"
TRAIN_API = TRAIN + f"  apiSpec: {{inputs: [{FILE}], outputs: [{{name: model}}]}}\n"
SCORE = (
    format_header("ExperimentPipeline", "score")
    + "  vars: [{name: model}, {name: photos}, {name: report}]\n"
    + "  stages:\n"
    + "    - {name: score, image: {existingImageName: i}, inputs: [{name: model}, {name: photos}], outputs: [{name: report}]}\n"
)
"""Continues `train` and receives its model and photos."""
APP = format_header("PlatformApp", "leafscan") + "  title: Leaf scanner\n"


def list_errors(*documents: str, namespace: str | None = NAMESPACE, secrets: tuple[str, ...] = ()) -> list[str]:
    """One document a file: a.yml, b.yml and so on."""
    files = {f"{name}.yml": text.encode() for name, text in zip("abcdefgh", documents, strict=False)}
    catalog, problems = check_manifests(files, namespace, secrets)
    lines = [str(problem) for problem in problems if problem.severity == "error"]
    assert (catalog is None) == bool(lines)
    return lines


WHOLE = (APP, BOX, SECRET, COMPONENT, API, PIPELINE, TRAIN_API)
NOTHING_GIVES = 'b.yml:7:70: nothing gives stage "prepare" its input "photos"; '

THEN = "  continueWith: {experimentPipeline: {name: score}}\n"
CHAIN = (PIPELINE + THEN, SCORE, TRAIN_API.replace("{name: model}]}", "{name: report}]}"))
CHAINED: list[tuple[tuple[str, ...], list[str]]] = [
    (CHAIN, []),
    ((PIPELINE + "  continueWith: score\n", *CHAIN[1:]), []),
    ((PIPELINE + "  continueWith: {experimentPipeline: {name: score}, vars: {model: table}}\n", *CHAIN[1:]), []),
    (
        (PIPELINE + "  continueWith: scores\n", *CHAIN[1:2], TRAIN_API),
        [
            'a.yml:9:17: there is no ExperimentPipeline "scores"; did you mean "score"?',
            'b.yml:7:68: nothing gives stage "score" its input "model"; name it in spec.apiSpec.inputs of an APIComponent for this pipeline (there is none), or make it an output of a stage, or give it "mountFrom"',
            'b.yml:7:83: nothing gives stage "score" its input "photos"; name it in spec.apiSpec.inputs of an APIComponent for this pipeline (there is none), or make it an output of a stage, or give it "mountFrom"',
        ],
    ),
    (
        (PIPELINE + THEN, SCORE.replace("photos", "leaves"), CHAIN[2]),
        [
            'b.yml:7:83: nothing gives stage "score" its input "leaves"; add it to spec.apiSpec.inputs of APIComponent "train", or make it an output of a stage, or give it "mountFrom"'
        ],
    ),
    (
        (
            PIPELINE + THEN,
            SCORE.replace("photos", "leaves"),
            CHAIN[2].replace("[{name: photos", "[{name: leaves, type: {datatypes: [FILE]}}, {name: photos"),
        ),
        [],
    ),
    (
        (
            PIPELINE + "  continueWith: {experimentPipeline: {name: score}, vars: {modle: model, report: modell}}\n",
            *CHAIN[1:],
        ),
        [
            'a.yml:9:67: ExperimentPipeline "score" has no variable "modle"; did you mean "model"?',
            'a.yml:9:82: "report" of "score" is written by a stage or mounted there and cannot be given; remove it here',
            'a.yml:9:82: ExperimentPipeline "train" has no variable "modell"; did you mean "model"?',
        ],
    ),
    (
        (PIPELINE + THEN, SCORE + "  continueWith: train\n", CHAIN[2]),
        [
            "a.yml:9:3: pipelines continue each other in a circle: train → score → train; remove one continueWith",
            "b.yml:8:17: pipelines continue each other in a circle: score → train → score; remove one continueWith",
        ],
    ),
]

CASES = [
    (WHOLE, []),
    ((), ["manifests:1:1: no manifest here; a revision needs at least one"]),
    (("# nothing\n",), ["a.yml:1:1: no manifest here; a revision needs at least one"]),
    ((BOX, BOX), ['b.yml:3:18: a second DataBox "weights"; the first is at a.yml:1, rename one of them']),
    ((BOX + "---\n" + BOX,), ['a.yml:9:18: a second DataBox "weights"; the first is at a.yml:1, rename one of them']),
    ((COMPONENT, API), []),
    ((APP, format_header("PlatformApp", "other") + "  title: t\n"), ["b.yml:2:7: a second PlatformApp; the first is at a.yml:1, keep one of them"]),
    ((format_header("Repository", "r") + "  url: https://git.example/a.git\n",), ["a.yml:2:7: a Repository cannot be in Git: a repository cannot move itself; send it with: mlmesh apply"]),
    ((BOX.replace("weights", "weights, namespace: other"),), ['a.yml:3:38: namespace "other" is not this app\'s; write "pu-petrova-pa-leafscan" or leave it out']),
    ((API,), ['a.yml:5:23: there is no MLComponent "digits"; add one, or correct the name']),
    ((API.replace("{name: digits}\n  rest", "{name: digit}\n  rest"), COMPONENT), ['a.yml:5:23: there is no MLComponent "digit"; did you mean "digits"?']),
    ((TRAIN_API,), ['a.yml:5:30: there is no ExperimentPipeline "train"; add one, or correct the name']),
    ((COMPONENT + "  connectedBoxes: [weight]\n", BOX), ['a.yml:7:20: there is no DataBox "weight"; did you mean "weights"?']),
    ((COMPONENT + "  connectedBoxes: [{name: users}]\n",), ['a.yml:7:27: there is no DataBox "users"; add one, or correct the name']),
    ((COMPONENT.replace("a:f\"", "a:f\", modelBox: w, modelPath: g/f"),), ['a.yml:6:43: there is no DataBox "w"; add one, or correct the name']),
    ((COMPONENT + "  envFrom: [{secretRef: {name: token}}]\n", TOKEN), []),
    ((COMPONENT + "  envFrom: [{secretRef: {name: token}}]\n",), ['a.yml:7:32: there is no Secret "token"; add one, or correct the name']),
    ((COMPONENT + "  envFrom: [{secretRef: {name: users}}]\n", SECRET), ['a.yml:7:32: key "petrova.pa" of Secret "users" cannot be an environment name; rename the key']),
    ((COMPONENT + "  envFrom: [{configMapRef: {name: settings}}, {secretRef: {name: token}}]\n", TOKEN, SETTINGS), []),
    ((COMPONENT + "  envFrom: [{configMapRef: {name: setting}}]\n", SETTINGS), ['a.yml:7:35: there is no ConfigMap "setting"; did you mean "settings"?']),
    ((COMPONENT + "  envFrom: [{configMapRef: {name: settings}}]\n", SETTINGS.replace("A:", "MLMESH_A: x, a.b:")), ['a.yml:7:35: key "MLMESH_A" of ConfigMap "settings" cannot be an environment name; rename the key', 'a.yml:7:35: key "a.b" of ConfigMap "settings" cannot be an environment name; rename the key']),
    ((COMPONENT + "  envFrom: [{secretRef: {name: settings}}]\n", SETTINGS), ['a.yml:7:32: there is no Secret "settings"; add one, or correct the name']),
    ((SETTINGS, SETTINGS.replace("mlmesh/v1", "v1")), ['b.yml:3:18: a second ConfigMap "settings"; the first is at a.yml:1, rename one of them']),
    ((API.replace("none: {}", "basic: {credentials: user}"), COMPONENT, SECRET), ['a.yml:6:58: there is no Secret "user"; did you mean "users"?']),
    ((API, API.replace("name: digits}\nspec", "name: more}\nspec"), COMPONENT), ['b.yml:6:22: path "digits" is published by APIComponent "digits" (a.yml:1) already; change or remove one of them']),
    ((format_header("APIComponent", "x") + "  files: {}\n  restfulApi: {auth: {none: {}}}\n", format_header("APIComponent", "y") + "  files: {}\n  restfulApi: {auth: {apiKey: {}}}\n"), ['b.yml:5:3: "files" is published by APIComponent "x" (a.yml:1) already; change or remove one of them']),
    ((BOX, PIPELINE), [NOTHING_GIVES + 'name it in spec.apiSpec.inputs of an APIComponent for this pipeline (there is none), or make it an output of a stage, or give it "mountFrom"']),
    ((TRAIN + "  apiSpec: {}\n", PIPELINE), [NOTHING_GIVES + 'add it to spec.apiSpec.inputs of APIComponent "train", or make it an output of a stage, or give it "mountFrom"']),
    ((BOX, PIPELINE.replace("{name: photos},", "{name: photos, mountFrom: {box: weights, path: g/}},")), []),
    ((PIPELINE.replace("{name: photos},", "{name: photos, mountFrom: {box: boxes, path: g/}},"),), ['a.yml:5:42: there is no DataBox "boxes"; add one, or correct the name']),
    ((BOX, PIPELINE.replace("{name: photos},", "{name: photos, mountFrom: {box: weights, path: g/}},"), TRAIN_API), ['c.yml:7:29: "photos" has "mountFrom", a caller cannot give it; remove one of the two']),
    ((PIPELINE, TRAIN_API.replace(FILE, FILE + ", " + FILE.replace("photos", "table"))), ['b.yml:7:74: "table" is an output of stage "prepare", a caller cannot give it; remove it']),
    ((PIPELINE, TRAIN_API.replace(FILE, FILE + ", " + FILE.replace("photos", "tables"))), ['b.yml:7:74: ExperimentPipeline "train" has no variable "tables"; did you mean "table"?']),
    ((PIPELINE, TRAIN_API.replace("{name: model}", "{name: report}")), ['b.yml:7:85: ExperimentPipeline "train" has no variable "report"; add it there, or correct it']),
    ((PIPELINE, TRAIN_API.replace("{name: model}", "{name: photos}")), ['b.yml:7:85: no stage has "photos" as an output; add it to one, or remove it here']),
    ((PIPELINE + "      # a comment\n  connectedBoxes: [nowhere]\n", TRAIN_API), ['a.yml:10:20: there is no DataBox "nowhere"; add one, or correct the name']),
]  # fmt: skip


@pytest.mark.parametrize(("documents", "expected"), [*CASES, *CHAINED])
def test_what_does_not_fit_together_is_one_sentence_at_its_place(
    documents: tuple[str, ...], expected: list[str]
) -> None:
    assert list_errors(*documents) == expected


BROKEN = "  typo: 1\n"
NO_SECRET = 'there is no Secret "token"; add one, or correct the name'
WITH_TOKEN = COMPONENT + "  envFrom: [{secretRef: {name: token}}]\n"
SIGHT: list[tuple[tuple[str, ...], list[str]]] = [
    # another document's error of form hides nothing …
    ((WITH_TOKEN, BOX + BROKEN), [f"a.yml:7:32: {NO_SECRET}", 'b.yml:6:3: unknown field "typo"']),
    ((WITH_TOKEN, TOKEN.replace("mlmesh/v1", "mlmesh/v2"), API.replace("{name: digits}\n  rest", "{name: digit}\n  rest")), ['b.yml:1:13: "apiVersion"', 'c.yml:5:23: there is no MLComponent "digit"']),
    ((PIPELINE.replace("{name: photos},", "{name: photos, mountFrom: {box: boxes, path: g/}},"), COMPONENT + BROKEN), ['a.yml:5:42: there is no DataBox "boxes"', 'b.yml:7:3: unknown field "typo"']),
    # … and makes none of its own
    ((API, COMPONENT + BROKEN), ['b.yml:7:3: unknown field "typo"']),
    ((WITH_TOKEN, TOKEN + BROKEN), ['b.yml:6:3: unknown field "typo"']),
    ((WITH_TOKEN, TOKEN.replace("kind: Secret", "kind: Secrets")), ['b.yml:2:7: unknown kind "Secrets"']),
    ((WITH_TOKEN, TOKEN.replace("name: token", "name: Token")), ['b.yml:3:18: "name" must be']),
    ((WITH_TOKEN, "a: b: c\n"), ["b.yml:1:5: invalid YAML"]),
    ((WITH_TOKEN, "- a\n"), ["b.yml:1:1: not a manifest"]),
    ((WITH_TOKEN, TOKEN.replace("{name: token}", "[token]")), ['b.yml:3:1: "metadata" must be a mapping']),
    ((PIPELINE, TRAIN_API + BROKEN), ['b.yml:8:3: unknown field "typo"']),
    ((SCORE, PIPELINE + THEN + BROKEN), ['b.yml:10:3: unknown field "typo"']),
    ((PIPELINE + THEN, SCORE + BROKEN, CHAIN[2]), ['b.yml:8:3: unknown field "typo"']),
    ((PIPELINE + THEN + '  schedule: {cron: "0 6 * * *", inputs: {photos: a/b, leaves: a/c}}\n', SCORE + BROKEN, CHAIN[2]), ['b.yml:8:3: unknown field "typo"']),
    ((TRAIN_API, PIPELINE + BROKEN), ['b.yml:9:3: unknown field "typo"']),
]  # fmt: skip


@pytest.mark.parametrize(("documents", "beginnings"), SIGHT)
def test_a_document_with_an_error_hides_no_other_and_is_not_called_missing(
    documents: tuple[str, ...], beginnings: list[str]
) -> None:
    lines = list_errors(*documents)
    assert [line[: len(start)] for line, start in zip(lines, beginnings, strict=True)] == beginnings


def test_offline_the_namespaces_must_only_agree() -> None:
    box, other = (BOX.replace("weights", f"{name}, namespace: {name}") for name in ("mine", "other"))
    assert list_errors(box, namespace=None) == []
    assert list_errors(box, other, namespace=None) == [
        'b.yml:3:36: namespace "other" is not this app\'s; write "mine" or leave it out'
    ]


def test_a_secret_may_be_declared_elsewhere() -> None:
    component = COMPONENT + "  envFrom: [{secretRef: {name: token}}]\n"
    assert list_errors(component, secrets=("token",)) == []


def test_a_catalog_has_everything_by_name_and_survives_its_journey_through_a_database() -> None:
    files = {
        f"manifests/{kind.lower()}.yml": read_example(kind).encode()
        for kind in ("MLComponent", "ConfigMap", "DataBox", "Secret", "PlatformApp")
    }
    files["manifests/more.yml"] = "---\n".join([BOX, TRAIN_API, PIPELINE, SECRET, API]).encode()
    catalog, problems = check_manifests(files, NAMESPACE)
    assert problems == []
    assert catalog is not None
    assert (set(catalog.components), set(catalog.pipelines), set(catalog.apis)) == (
        {"digits"},
        {"train"},
        {"train", "digits"},
    )
    assert set(catalog.boxes) == {"users", "weights"}
    assert catalog.secrets == {"model-keys": ("HUB_TOKEN",), "users": ("petrova.pa", "TOKEN")}
    assert catalog.config_maps == {"settings": {"LANGUAGE": "en", "THRESHOLD": "0.5"}}
    assert catalog.app is not None
    assert catalog.app.spec.title == "Leaf scanner"
    assert Catalog.from_json(json.loads(json.dumps(catalog.to_json()))) == catalog


def test_a_catalog_of_version_0_1_is_read() -> None:
    catalog, _ = check_manifests(
        {"m.yml": (COMPONENT + "  envFrom: [{secretRef: {name: token}}]\n---\n" + TOKEN).encode()}, None
    )
    assert catalog is not None
    old: Any = catalog.to_json()
    del old["config_maps"]
    old["components"]["digits"]["spec"]["envFrom"] = [{"secretRef": {"name": "token"}}]
    assert Catalog.from_json(old) == catalog


def test_warnings_do_not_stand_in_the_way() -> None:
    files = {"m.yml": COMPONENT.replace("mlmesh/v1", "unified-platform.cs.hse.ru/v1").encode() + b"  replicas: 2\n"}
    catalog, problems = check_manifests(files, NAMESPACE)
    assert catalog is not None
    assert [problem.severity for problem in problems] == ["warning"]


def repeat_document(count: int, document: str) -> str:
    return "---\n".join(document.replace("NAME", f"{index}-{'long' * 8}") for index in range(count))


FAR = '{name: "NAME-too"}'
CROWDS = {
    "references to boxes that are not there": repeat_document(200, format_header("DataBox", "box-NAME") + "  s3DefaultStorage: {}\n")
    + "---\n" + COMPONENT
    + f"  connectedBoxes: [{', '.join(FAR.replace('NAME', f'box-{index}') for index in range(1000))}]\n",
    "keys that cannot be names": SETTINGS.replace("{A: x}", "{" + ", ".join(f"a-{index}: x" for index in range(2000)) + "}")
    + "---\n" + repeat_document(20, COMPONENT.replace("digits", "digits-NAME")
    + f"  envFrom: [{', '.join(['{configMapRef: {name: settings}}'] * 50)}]\n"),
}  # fmt: skip


@pytest.mark.parametrize("crowd", CROWDS)
def test_many_mistakes_of_a_kind_are_told_up_to_a_number(crowd: str) -> None:
    lines = list_errors(CROWDS[crowd])
    assert len(lines) == 101
    assert len([line for line in lines if "there are more of these" in line]) == 1


def test_pipelines_of_a_long_chain_are_not_compared_with_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_comparison(*_: object) -> bool:
        raise AssertionError

    monkeypatch.setattr(ExperimentPipeline, "__eq__", fail_comparison)
    assert list_errors(*CHAIN) == []
