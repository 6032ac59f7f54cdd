"""scikit-learn's classifiers behind the two verbs: what is learned from the support set alone."""

import numpy as np
import torch
from torch import Tensor

from course_utils.learners.base import MetaLearner, Predictor
from course_utils.learners.metric import one_hot
from course_utils.tasks.base import Tasks


class Scikit(MetaLearner):
    """Fits a fresh copy of a scikit-learn classifier to each task's support set.

    `columns`: how many of the inputs it sees, from the first; None for all. Nothing is
    meta-learned.
    """

    def __init__(self, classifier, columns: int | None = None):
        super().__init__()
        self.classifier, self.columns = classifier, columns

    def adapt(self, support_x: Tensor, support_y: Tensor) -> Predictor:
        """Fit (T, S, x) with labels (T, S); the predictor gives log-probabilities (T, Q, ways)."""
        from sklearn.base import clone

        one_hot(support_y)  # raises where a class is missing
        fitted = [
            clone(self.classifier).fit(self._seen(x), y.numpy(force=True))
            for x, y in zip(support_x, support_y, strict=True)
        ]

        def predict(query_x: Tensor) -> Tensor:
            said = [
                each.predict_proba(self._seen(x)) for each, x in zip(fitted, query_x, strict=True)
            ]
            probability = torch.from_numpy(np.stack(said)).to(query_x)
            return probability.clamp(min=1e-9).log()

        return predict

    def _seen(self, x: Tensor) -> np.ndarray:
        return x[:, : self.columns].numpy(force=True)

    def forward(self, tasks: Tasks) -> Tensor:
        raise TypeError("Scikit has nothing to meta-learn: test it, don't train it")
