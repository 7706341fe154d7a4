import pytest

from libs.common.errors import Malformed
from services.gateway.routing.paths import Route, route

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
    ("/api/v1/workers", Route("api", service="scheduler")),
    ("/api/v1/queues/dead", Route("api", service="scheduler")),
    ("/api/v1/schema/Component.json", Route("api", service="registry", open=True)),
    ("/hooks/demo", Route("hooks", "demo", service="registry")),
    ("/hooks/demo/more", None),
    ("/links/abc", Route("links", service="databox", open=True)),
    ("/demo/", None),
    ("/demo/digits/predict", Route("predict", "demo", "digits", rest="/predict")),
    ("/demo/v1/digits/predict", Route("own", "demo", "v1", rest="/digits/predict")),
    ("/demo/digits", Route("own", "demo", "digits")),
    ("/demo/digits/", Route("own", "demo", "digits", rest="/")),
    ("/demo/digits/a%2Fb/c", Route("own", "demo", "digits", rest="/a%2Fb/c")),
    ("/demo/digits/openapi.json", Route("describe", "demo", "digits", rest="/openapi.json")),
    ("/demo/digits/docs", Route("page", "demo", "digits", rest="/docs")),
    ("/demo/train/runs", Route("submit", "demo", "train", rest="/runs")),
    ("/demo/v2", Route("v2", "demo")),
    ("/demo/v2/health/live", Route("v2", "demo", rest="/health/live")),
    ("/demo/v2/models/a%20b/infer", Route("v2", "demo", "a b", rest="/infer")),
    ("/demo/runs", Route("runs", "demo", service="scheduler")),
    ("/demo/runs/1/logs", Route("runs", "demo", rest="/1/logs", service="scheduler")),
    ("/demo/files/data/g/a%20b", Route("files", "demo", box="data", rest="data/g/a%20b", service="databox")),
    ("/demo/files/", None),
]


@pytest.mark.parametrize(("path", "meaning"), CASES)
def test_a_path_has_this_meaning(path: str, meaning: Route | None) -> None:
    assert route(path) == meaning


@pytest.mark.parametrize(
    "path", ["/demo/files/data/../../x", "/demo/files/data/%2e%2e/x", "/demo/files/data/g%2F..%2F.."]
)
def test_a_path_with_dots_is_refused_however_it_is_written(path: str) -> None:
    with pytest.raises(Malformed):
        route(path)
