"""Stage 2: a small network, a few passes over the samples."""

from __future__ import annotations

import joblib
import numpy as np
from sklearn.neural_network import MLPClassifier

from digits.stage import options, progress, variable

HIDDEN = 100


def main() -> None:
    chosen = options()
    samples = np.load(variable("samples") / "samples.npz")
    model = MLPClassifier((HIDDEN,), learning_rate_init=0.005, random_state=chosen["seed"])
    order = np.random.default_rng(chosen["seed"])
    epochs = int(chosen["epochs"])
    for epoch in range(1, epochs + 1):
        shuffled = order.permutation(len(samples["learn_y"]))
        model.partial_fit(samples["learn_x"][shuffled], samples["learn_y"][shuffled], classes=range(10))
        progress(epoch, epochs)
        if epoch in (1, epochs) or epoch % 10 == 0:
            right = model.score(samples["test_x"], samples["test_y"])
            print(f"epoch {epoch:3d}: loss {model.loss_:.4f}, {right:.1%} of the others right", flush=True)
    joblib.dump(model, variable("model") / "model.joblib")


if __name__ == "__main__":
    main()
