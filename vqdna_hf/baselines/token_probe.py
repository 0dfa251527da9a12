"""The linear probe of hand-made vocabularies: a linear model on how often each token occurs in a sequence."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from ..arguments.training import REGRESSION
from ..metrics import compute_scores


# inverse regularization, tried on dev
STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)


@dataclass(frozen=True)
class TokenProbe:
    """Token frequencies -> scaled -> classes or values.

    Attributes:
        model: the fitted pipeline.
        strength: the inverse regularization that dev chose.
    """

    model: Pipeline
    strength: float

    @classmethod
    def fit(cls, train, train_labels, dev, dev_labels, problem_type: str, metric: str) -> "TokenProbe":
        """Fit on `train`, choosing the regularization by `metric` on `dev`.

        Args:
            train, dev: of `token_frequencies`.
        """

        def fit(strength: float) -> TokenProbe:
            logistic = LogisticRegression(C=strength, max_iter=2000)
            linear = Ridge(alpha=1 / strength) if problem_type == REGRESSION else logistic
            return cls(make_pipeline(MaxAbsScaler(), linear).fit(train, train_labels), strength)

        def score(probe: TokenProbe) -> float:
            return compute_scores(probe.predict(dev), dev_labels, metric, problem_type)[metric]

        return max(map(fit, STRENGTHS), key=score)

    @property
    def parameters(self) -> int:
        """Weights of the linear model."""
        return self.model[-1].coef_.size

    def predict(self, frequencies) -> np.ndarray:
        """Classes or values, of shape `(rows,)`."""
        return self.model.predict(frequencies)


def token_frequencies(rows: list[np.ndarray], tokenizer) -> csr_matrix:
    """How often each token occurs in each row, as a share: a sparse matrix of shape `(rows, len(tokenizer))`."""
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    columns = np.concatenate(rows)
    numbers = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    kept = ~np.isin(columns, list(special))
    counts = csr_matrix((np.ones(kept.sum()), (numbers[kept], columns[kept])), shape=(len(rows), len(tokenizer)))
    return counts.multiply(1 / np.maximum(counts.sum(axis=1), 1)).tocsr()
