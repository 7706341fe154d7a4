"""Stage 3: how good the model is, as a page to read and a picture to look at."""

from __future__ import annotations

from collections.abc import Iterator

import joblib
import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from digits.picture import heatmap, png
from digits.stage import progress, variable


def main() -> None:
    samples = np.load(variable("samples") / "samples.npz")
    model = joblib.load(next(variable("model").glob("*.joblib")))
    truth, said = samples["test_y"], model.predict(samples["test_x"])
    progress(1, 3)
    counts = confusion_matrix(truth, said, labels=range(10))
    folder = variable("report")
    (folder / "confusion.png").write_bytes(png(heatmap(counts)))
    progress(2, 3)
    (folder / "report.md").write_text("\n".join(page(truth, said, counts)) + "\n")
    progress(3, 3)
    print(f"{np.mean(truth == said):.1%} of {len(truth)} right; report.md and confusion.png are written", flush=True)


def page(truth: np.ndarray, said: np.ndarray, counts: np.ndarray) -> Iterator[str]:
    right = int((truth == said).sum())
    yield "# Handwritten digits: how good is the model?"
    yield f"\n**{right} of {len(truth)}** digits that it had never seen are right: **{right / len(truth):.1%}**.\n"
    yield "![rows: what was written, columns: what the model said](confusion.png)\n"
    yield "| digit | samples | precision | recall | most often taken for |"
    yield "|---|---|---|---|---|"
    precision, recall, _, support = precision_recall_fscore_support(truth, said, labels=range(10), zero_division=0)
    for digit in range(10):
        wrong = counts[digit].copy()
        wrong[digit] = 0
        other = f"{wrong.argmax()} ({wrong.max()} times)" if wrong.any() else "-"
        yield f"| {digit} | {support[digit]} | {precision[digit]:.1%} | {recall[digit]:.1%} | {other} |"


if __name__ == "__main__":
    main()
