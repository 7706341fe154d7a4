"""Stage 1: the digits, scaled and split into a part to learn from and a part to be judged by."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from digits.stage import options, progress, variable

BRIGHTEST = 16.0


def main() -> None:
    chosen = options()
    progress(0, 2)
    found = load_digits()
    print(f"{len(found.target)} digits of {found.images.shape[1]} x {found.images.shape[2]} pixels", flush=True)
    progress(1, 2)
    learn_x, test_x, learn_y, test_y = train_test_split(
        found.data / BRIGHTEST,
        found.target,
        test_size=chosen["test_share"],
        random_state=chosen["seed"],
        stratify=found.target,
    )
    target = variable("samples") / "samples.npz"
    np.savez_compressed(target, learn_x=learn_x, learn_y=learn_y, test_x=test_x, test_y=test_y)
    print(f"{len(learn_y)} to learn from, {len(test_y)} to be judged by", flush=True)
    progress(2, 2)


if __name__ == "__main__":
    main()
