"""A digit as somebody wrote it: 8 x 8 pixels from 0 to 16 (from the test data that scikit-learn ships)."""

from __future__ import annotations

WRITTEN = 3
PIXELS = [
    0, 2, 9, 15, 14, 9, 3, 0,
    0, 4, 13, 8, 9, 16, 8, 0,
    0, 0, 0, 6, 14, 15, 3, 0,
    0, 0, 0, 11, 14, 2, 0, 0,
    0, 0, 0, 2, 15, 11, 0, 0,
    0, 0, 0, 0, 2, 15, 4, 0,
    0, 1, 5, 6, 13, 16, 6, 0,
    0, 2, 12, 12, 13, 11, 0, 0,
]  # fmt: skip
