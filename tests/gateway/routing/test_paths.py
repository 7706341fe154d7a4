import pytest

from libs.common.errors import Malformed
from services.gateway.routing.paths import Route, parse_path

CASES: list[tuple[str, Route | None]] = [
    ("/healthz", Route("healthz")),
    ("/docs", Route("docs")),
    ("/", None),
    ("/demo", None),
    ("/console/x/predict", None),
    ("/api/v2/apps", None),
    ("/api/v1/", None),
    ("/api/v1/apps", Route("api", service="registry")),
    ("/api/v1/apps/demo/secrets/x", Route("api", service="registry")),
    ("/api/v1/apps/demo/runs/1", Route("api", service="scheduler")),
    ("/api/v1/apps/demo/components", Route("api", service="scheduler")),
    ("/api/v1/apps/demo/deployments/d1", Route("api", service="registry")),
    ("/api/v1/apps/demo/deployments/d1/builds", Route("api", service="scheduler")),
    ("/api/v1/apps/demo/deployments/d1/builds/c/log", Route("api", service="scheduler")),
    ("/api/v1/workers", Route("api", service="scheduler")),
    ("/api/v1/queues/dead", Route("api", service="scheduler")),
    ("/api/v1/schema/Component.json", Route("api", service="registry", open=True)),
    ("/hooks/demo", Route("hooks", "demo", service="registry")),
    ("/hooks/demo/more", None),
    ("/links/abc", Route("links", service="databox", open=True)),
    ("/demo/", None),
    ("/demo/digits/predict", Route("predict", "demo", "digits", suffix="/predict")),
    ("/demo/v1/digits/predict", Route("web_app", "demo", "v1", suffix="/digits/predict")),
    ("/demo/digits", Route("web_app", "demo", "digits")),
    ("/demo/digits/", Route("web_app", "demo", "digits", suffix="/")),
    ("/demo/digits/a%2Fb/c", Route("web_app", "demo", "digits", suffix="/a%2Fb/c")),
    ("/demo/digits/openapi.json", Route("describe", "demo", "digits", suffix="/openapi.json")),
    ("/demo/digits/docs", Route("page", "demo", "digits", suffix="/docs")),
    ("/demo/train/runs", Route("submit", "demo", "train", suffix="/runs")),
    ("/demo/v2", Route("v2", "demo")),
    ("/demo/v2/health/live", Route("v2", "demo", suffix="/health/live")),
    ("/demo/v2/models/a%20b/infer", Route("v2", "demo", "a b", suffix="/infer")),
    ("/demo/runs", Route("runs", "demo", service="scheduler")),
    ("/demo/runs/1/logs", Route("runs", "demo", suffix="/1/logs", service="scheduler")),
    ("/demo/files/data/g/a%20b", Route("files", "demo", box="data", suffix="data/g/a%20b", service="databox")),
    ("/demo/files/", None),
]


@pytest.mark.parametrize(("path", "meaning"), CASES)
def test_a_path_has_this_meaning(path: str, meaning: Route | None) -> None:
    assert parse_path(path) == meaning


@pytest.mark.parametrize(
    "path", ["/demo/files/data/../../x", "/demo/files/data/%2e%2e/x", "/demo/files/data/g%2F..%2F.."]
)
def test_a_path_with_dots_is_refused_however_it_is_written(path: str) -> None:
    with pytest.raises(Malformed):
        parse_path(path)
