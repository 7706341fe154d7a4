from __future__ import annotations

import pytest

from services.cli.down import describe_removal


@pytest.mark.parametrize(
    ("built", "images", "text"),
    [
        (0, False, "2 containers and 1 network removed; the data stays"),
        (
            3, False,
            "2 containers and 1 network removed; the data stays, and 3 images that it built: "
            "mlmesh down --data /d --images removes them",
        ),
        (1, True, "2 containers, 1 network and 1 image removed; the data stays"),
    ],
)  # fmt: skip
def test_what_was_removed_and_what_stays_is_told(built: int, images: bool, text: str) -> None:
    assert describe_removal(2, 1, built, images=images, where=" --data /d") == text
