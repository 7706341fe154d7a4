import pytest

from libs.common.manifests.catalog import Catalog
from services.registry.checks.catalog import check_manifests
from services.registry.checks.manifest_changes import MAX_CHANGES, compare_catalogs

HEAD = "apiVersion: mlmesh/v1\n"
COMPONENT = HEAD + (
    "kind: MLComponent\nmetadata: {name: NAME}\nspec:\n  image: {existingImageName: team/digits:1}\n"
    "  mlService: {inference: 'm:f'}\n"
)
BOX = HEAD + "kind: DataBox\nmetadata: {name: weights}\nspec: {s3DefaultStorage: {capacity: 1G}}\n"
SECRET = HEAD + "kind: Secret\nmetadata: {name: users}\nspec: {keys: [alice]}\n"
SETTINGS = HEAD + "kind: ConfigMap\nmetadata: {name: settings}\ndata: {LEVEL: info, OLD: x}\n"
DIGITS = COMPONENT.replace("NAME", "digits")


def read_catalog(*manifests: str) -> Catalog:
    catalog, problems = check_manifests({"manifests/a.yml": "---\n".join(manifests).encode()}, None)
    assert catalog is not None, problems
    return catalog


def list_changes(before: Catalog | None, after: Catalog) -> list[tuple[object, ...]]:
    return [
        (change.action, f"{change.kind} {change.name}", *((it.field, it.before, it.after) for it in change.fields))
        for change in compare_catalogs(before, after).items
    ]


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ((DIGITS, BOX), (DIGITS, BOX), []),
        ((DIGITS,), (DIGITS + "  servicePort: 8002\n",), []),
        ((DIGITS,), (DIGITS.replace("mlmesh/v1", "unified-platform.cs.hse.ru/v1"),), []),
        (
            (DIGITS,),
            (DIGITS + "  resources: {memory: 1Gi}\n",),
            [("changed", "MLComponent digits", ("spec.resources.memory", None, "1Gi"))],
        ),
        (
            (BOX, DIGITS),
            (COMPONENT.replace("NAME", "numbers"), SECRET),
            [
                ("removed", "MLComponent digits"), ("created", "MLComponent numbers"), ("removed", "DataBox weights"),
                ("created", "Secret users"),
            ],
        ),
        (
            (SECRET, SETTINGS),
            (SECRET.replace("alice", "alice, bob"), SETTINGS.replace("info, OLD: x", "debug, NEW: x")),
            [
                ("changed", "Secret users", ("spec.keys", '["alice"]', '["alice", "bob"]')),
                ("changed", "ConfigMap settings", ("data.LEVEL", "info", "debug"), ("data.OLD", "x", None),
                 ("data.NEW", None, "x")),
            ],
        ),
        (
            (BOX,),
            (BOX.replace("1G", "2G"),),
            [("changed", "DataBox weights", ("spec.s3DefaultStorage.capacity", "1G", "2G"))],
        ),
    ],
    ids=["equal", "default written out", "other apiVersion", "new field", "rename", "values", "size"],
)  # fmt: skip
def test_two_catalogs_are_compared_manifest_by_manifest(
    before: tuple[str, ...], after: tuple[str, ...], changes: list[tuple[object, ...]]
) -> None:
    assert list_changes(read_catalog(*before), read_catalog(*after)) == changes


def test_everything_of_the_first_deployment_is_created() -> None:
    assert list_changes(None, read_catalog(BOX, DIGITS)) == [
        ("created", "MLComponent digits"), ("created", "DataBox weights"),
    ]  # fmt: skip


def test_files_of_a_box_and_values_of_a_secret_outlive_their_manifests() -> None:
    changes = compare_catalogs(read_catalog(DIGITS, BOX, SECRET, SETTINGS), read_catalog(DIGITS)).items
    assert [(change.kind, change.keeps_data) for change in changes] == [
        ("DataBox", True), ("Secret", True), ("ConfigMap", False),
    ]  # fmt: skip


def test_of_two_thousand_changes_the_first_are_told_and_the_others_counted() -> None:
    variables = [f"    - {{name: V{number}, value: 'OLD'}}\n" for number in range(2000)]
    before = DIGITS + "  env:\n" + "".join(variables)
    changes = compare_catalogs(read_catalog(before, BOX), read_catalog(before.replace("OLD", "new")))
    assert [(change.name, len(change.fields)) for change in changes.items] == [("digits", MAX_CHANGES)]
    assert changes.omitted == 2000 + 1 - MAX_CHANGES
