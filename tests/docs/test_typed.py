"""README and the first two pages, typed exactly as printed on a machine that has nothing else: all must end well."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.typed import Line, steps, typed

ROOT = Path(__file__).parents[2]
README = [("README.md", "## Your own module in five minutes", "## What a module is made of")]
PAGES = [
    ("docs/serve-a-function.md", "# Serve a function", "## 5. Make it carry more"),
    ("docs/run-a-pipeline.md", "# Run a pipeline", "### Be called back"),
]
IN_FIVE_MINUTES = {
    "mlmesh validate": r"no errors",
    "git push": r"(?s)the manifests are valid .*it waits: secret .*main -> main",
    "mlmesh secret set": r"users: alice set",
    "mlmesh app sync": r"deployment \w+  live",
    "mlmesh run start": r"run r_\w+  train  succeeded",
    "mlmesh predict": r'"data": "transport"',
    "curl -u alice": r'"data":\s*"transport"',
}
BY_THE_PAGES = {
    "curl http://127.0.0.1:8002/predict": r'"score"',
    "mlmesh validate": r"no errors",
    "mlmesh apply": r"PlatformApp words: created",
    "mlmesh app sync words": r"deployment \w+  live",
    "curl http://127.0.0.1:8000/words/toxic/predict": r'"score"',
    "mlmesh predict words toxic": r'"score"',
    "mlmesh app show words": r"docs +toxic  http://127\.0\.0\.1:8000/words/toxic/docs",
    "mlmesh run local words": r"report  ",
    "mlmesh box put words": r"texts/in/readme\.md",
    "mlmesh run start words words": r"run r_\w+  words  succeeded",
    "curl -T README.md": r"",
    "curl -i http://127.0.0.1:8000/words/words/runs": r"(?is)location.*/words/runs/r_",
    "MLMESH_TOKEN=$KEY mlmesh run list words": r"r_\w+  words",
}


@pytest.mark.parametrize(
    ("pages", "expected"), [(README, IN_FIVE_MINUTES), (PAGES, BY_THE_PAGES)], ids=["README", "the first pages"]
)
def test_typed_as_printed_it_ends_well(
    tmp_path: Path, pages: list[tuple[str, str, str]], expected: dict[str, str]
) -> None:
    found = [step for name, begin, end in pages for step in steps((ROOT / name).read_text(), begin, end)]
    up = [step for step in found if isinstance(step, Line) and step.elsewhere and "mlmesh up" in step.text]
    found = [step for step in found if step not in up[1:]]  # one mesh serves all pages
    results, elsewhere = typed(found, tmp_path)
    failed = [(line, code, said) for line, code, said in results if code]
    assert failed == [], elsewhere
    assert "only this far" not in elsewhere, elsewhere
    for begin, pattern in expected.items():
        said = [said for line, _, said in results if line.startswith(begin)]
        assert said, f"no line begins with {begin}"
        assert all(re.search(pattern, one) for one in said), (begin, said)
