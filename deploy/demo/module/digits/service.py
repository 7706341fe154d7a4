"""The function behind HTTP: which digit is this?"""

from __future__ import annotations

from typing import Any

import numpy as np

PIXELS = 64
BRIGHTEST = 16.0


def recognize(inputs: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """Recognizes a handwritten digit.

    :param inputs.image: brightness of 8 x 8 pixels from 0 to 16, row by row
    :type inputs.image: FP32 or FP64
    :param outputs.digit: the digit
    :type outputs.digit: INT64
    :param outputs.probabilities: how likely each of 0 to 9 is
    :type outputs.probabilities: FP64
    """
    image = np.asarray(inputs[0]["data"], dtype=float).reshape(-1)
    if image.size != PIXELS:
        raise ValueError(f"an image has {PIXELS} pixels, this one has {image.size}")
    likely = model.predict_proba(image[None, :] / BRIGHTEST)[0]
    return [
        {"name": "digit", "datatype": "INT64", "shape": [1], "data": [int(likely.argmax())]},
        {"name": "probabilities", "datatype": "FP64", "shape": [10], "data": [round(float(one), 6) for one in likely]},
    ]
