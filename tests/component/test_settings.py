from __future__ import annotations

import pytest
from mlmesh_component.settings import Settings, SettingsError, read_settings

NAME = {"MLMESH_INFERENCE": "m:f"}


def test_a_name_is_enough() -> None:
    assert read_settings(["m:f"], {}) == Settings("m:f")
    assert read_settings([], NAME) == Settings("m:f")


def test_the_environment_says_everything_that_the_platform_has_to_say() -> None:
    settings = read_settings(
        [],
        {
            **NAME,
            "MLMESH_HOST": "127.0.0.1",
            "MLMESH_PORT": "0",
            "MLMESH_PORT_FILE": "/tmp/port",
            "MLMESH_INSTANCE_TOKEN": "t",
            "MLMESH_MODEL_PATH": "/m",
            "MLMESH_LOADER": "m:load",
            "MLMESH_CONCURRENCY": "4",
            "MLMESH_TIMEOUT": "2.5",
            "MLMESH_WARMUP": '[{"inputs":[]}]',
            "MLMESH_MAX_BODY": "1000",
            "MLMESH_URL": "http://gateway",
            "MLMESH_BOXES": '["a","b"]',
            "MLMESH_MODEL_BOX": "b",
            "MLMESH_OTHER_BOXES": '["c"]',
            "MLMESH_COMPONENT_NAME": "digits",
            "MLMESH_NAMESPACE": "app",
        },
    )
    assert settings == Settings(
        inference="m:f",
        host="127.0.0.1",
        port=0,
        port_file="/tmp/port",
        token="t",
        model_path="/m",
        loader="m:load",
        concurrency=4,
        timeout=2.5,
        warmup=({"inputs": []},),
        max_body=1000,
        url="http://gateway",
        boxes=("a", "b"),
        model_box="b",
        other_boxes=("c",),
        component="digits",
        namespace="app",
    )
    assert not settings.local


def test_arguments_win() -> None:
    settings = read_settings(["m:g", "--port", "0", "--model", "/x", "--host", "::1"], {**NAME, "MLMESH_PORT": "5"})
    assert (settings.inference, settings.port, settings.model_path, settings.host) == ("m:g", 0, "/x", "::1")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "say what to serve"),
        ({**NAME, "MLMESH_PORT": "http"}, "MLMESH_PORT must be a whole number from 0, not 'http'"),
        ({**NAME, "MLMESH_CONCURRENCY": "0"}, "MLMESH_CONCURRENCY must be a whole number from 1, not '0'"),
        ({**NAME, "MLMESH_TIMEOUT": "soon"}, "MLMESH_TIMEOUT must be seconds, not 'soon'"),
        ({**NAME, "MLMESH_TIMEOUT": "nan"}, "MLMESH_TIMEOUT must be above 0, not 'nan'"),
        ({**NAME, "MLMESH_WARMUP": "{}"}, "MLMESH_WARMUP must be a JSON list"),
        ({**NAME, "MLMESH_BOXES": "a,b"}, "MLMESH_BOXES must be a JSON list"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(environment: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read_settings([], environment)
