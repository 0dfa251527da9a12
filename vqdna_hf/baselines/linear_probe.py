"""The linear probe of the paper's Table 1: a linear model on the pooled code vectors of a frozen vocabulary."""

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler

from ..data.eval_batches import parts_of
from ..metrics import compute_scores, predictions_of, rounded_scores
from ..modeling.modeling_vqdna import VQDNAPooling
from ..modeling.modeling_vqdna_codec import VQDNACodecModel
from ..modeling.nucleotides_vqdna import PAD_NUCLEOTIDE_ID, reverse_complement, sequence_mask
from ..modeling.tokenization_vqdna import VQDNATokenizer
from ..runs.files import check_fields, read_json, replacing, write_json


# inverse regularization, tried on dev; mean code vectors have few directions that vary, and want little of it
STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
# positions whose code vectors are held at a time
_POSITIONS = 1 << 16


# what `probe.json` says
PROBE_FIELDS = {
    **{"pooling": str, "pooling_bins": int, "strand_average": bool, "problem_type": str},
    "vocabulary_fingerprint": str,
}


class LinearProbe:
    """Pooled code vectors -> standardized -> logits.

    Args:
        codec: the frozen vocabulary.
        weight (`np.ndarray` of shape `(outputs, features)`), bias (`np.ndarray` of shape `(outputs,)`).
        settings: `pooling`, `pooling_bins`, `strand_average`, `problem_type`.
    """

    def __init__(self, codec: VQDNACodecModel, weight: np.ndarray, bias: np.ndarray, settings: dict):
        self.codec, self.weight, self.bias, self.settings = codec, weight, bias, settings

    @classmethod
    def fit(cls, codec: VQDNACodecModel, train, dev, info, metric: str, **pooling) -> "LinearProbe":
        """Fit on `train`, choosing the regularization by `metric` on `dev`.

        Args:
            train, dev: rows with `nucleotide_ids` and `labels`.
            info ([`TaskInfo`]): says what kind of labels they are.
            pooling: `pooling`, `pooling_bins` and `strand_average`.

        Raises:
            ValueError: the fit gives weights that are not finite.
        """
        settings = {**pooling, "problem_type": info.problem_type}
        features, labels = code_features(codec, train["nucleotide_ids"], settings), np.asarray(train["labels"])
        scaler = StandardScaler().fit(features)
        held_out, held_out_labels = code_features(codec, dev["nucleotide_ids"], settings), np.asarray(dev["labels"])
        best, best_score = None, -np.inf
        for strength in STRENGTHS:
            probe = cls(codec, *fit_linear(scaler, features, labels, info.problem_type, strength), settings)
            _check_finite({"weight": probe.weight, "bias": probe.bias}, "The linear probe was fitted with")
            predictions = predictions_of(held_out @ probe.weight.T + probe.bias, info.problem_type)
            score = compute_scores(predictions, held_out_labels, metric, info.problem_type)[metric]
            if score > best_score:
                best, best_score = probe, score
        return best

    def logits(self, sequences: list[np.ndarray]) -> np.ndarray:
        """Scores of nucleotide id sequences, of shape `(sequences, outputs)`."""
        return code_features(self.codec, sequences, self.settings) @ self.weight.T + self.bias

    def predict(self, sequences: list[np.ndarray]) -> np.ndarray:
        """Classes or values, of shape `(sequences,)`, or labels, `(sequences, outputs)`, of nucleotide ids."""
        return predictions_of(self.logits(sequences), self.settings["problem_type"])

    def score(self, split) -> dict[str, float]:
        """Every score of the problem type on rows with `nucleotide_ids` and `labels`."""
        predictions, labels = self.predict(split["nucleotide_ids"]), np.asarray(split["labels"])
        return rounded_scores(predictions, labels, self.settings["problem_type"])

    @property
    def parameters(self) -> int:
        """Fitted numbers: weights and biases."""
        return self.weight.size + self.bias.size

    def save_pretrained(self, directory: str | Path):
        """Write `probe.safetensors` and `probe.json` beside the tokenizer's files."""
        directory = Path(directory)
        with replacing(directory / "probe.safetensors") as partial:
            save_file({"weight": self.weight, "bias": self.bias}, partial)
        write_json(directory / "probe.json", {**self.settings, "vocabulary_fingerprint": self.codec.fingerprint()})

    @classmethod
    def from_pretrained(cls, directory: str | Path) -> "LinearProbe":
        """Load a probe and the tokenizer beside it.

        Raises:
            ValueError: a file is damaged or lacks a field, or the tokenizer has another vocabulary than the probe was
                fitted on, or a weight is not finite.
        """
        directory = Path(directory)
        settings = read_json(directory / "probe.json")
        check_fields(settings, PROBE_FIELDS, directory / "probe.json")
        tokenizer = VQDNATokenizer.from_pretrained(directory)
        if tokenizer.vocabulary_fingerprint != settings["vocabulary_fingerprint"]:
            raise ValueError(
                f"The probe in {directory} was fitted on the vocabulary {settings['vocabulary_fingerprint']}, but the "
                f"tokenizer beside it has {tokenizer.vocabulary_fingerprint}. Fit the probe again."
            )
        try:
            tensors = load_file(directory / "probe.safetensors")
            weight, bias = tensors["weight"], tensors["bias"]
        except (SafetensorError, KeyError) as error:
            raise ValueError(
                f"{directory / 'probe.safetensors'} is damaged ({error}). Copy it again, or fit the probe again."
            ) from error
        _check_finite(tensors, f"{directory / 'probe.safetensors'} holds")
        return cls(tokenizer.codec, weight, bias, settings)


def _check_finite(tensors: dict[str, np.ndarray], beginning: str):
    wrong = [name for name, values in tensors.items() if not np.isfinite(values).all()]
    if wrong:
        raise ValueError(
            f"{beginning} numbers that are not finite ({wrong[0]}): it has diverged. Fit it again, on another "
            "vocabulary."
        )


def fit_linear(scaler, features, labels, problem_type: str, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias on unscaled features; of a two-class model, one row per class."""
    scaled = scaler.transform(features)
    if problem_type == "regression":
        linear = Ridge(alpha=1 / strength).fit(scaled, labels)
    else:
        linear = LogisticRegression(C=strength, max_iter=2000)
        if problem_type == "multi_label_classification":
            linear = OneVsRestClassifier(linear)
        linear.fit(scaled, labels)
    if isinstance(linear, OneVsRestClassifier):
        coefficients = np.concatenate([part.coef_ for part in linear.estimators_])
        intercepts = np.concatenate([part.intercept_ for part in linear.estimators_])
    else:
        coefficients, intercepts = np.atleast_2d(linear.coef_), np.atleast_1d(linear.intercept_)
    weight = coefficients / scaler.scale_
    bias = intercepts - weight @ scaler.mean_
    if problem_type == "single_label_classification" and len(weight) == 1:
        weight, bias = np.concatenate([np.zeros_like(weight), weight]), np.array([0.0, bias[0]])
    return weight.astype(np.float32), bias.astype(np.float32)


@torch.no_grad()
def code_features(codec: VQDNACodecModel, sequences, settings: dict) -> np.ndarray:
    """Pooled code vectors of sequences, of shape `(sequences, features)`; of both strands, averaged, if asked."""
    pooling = VQDNAPooling(settings["pooling"], settings["pooling_bins"])
    rows = [np.asarray(sequence, dtype=np.int64) for sequence in sequences]
    strands = [rows, [reverse_complement(row) for row in rows]] if settings["strand_average"] else [rows]
    return np.mean([_features(codec, strand, pooling) for strand in strands], axis=0)


def _features(codec: VQDNACodecModel, rows: list[np.ndarray], pooling: VQDNAPooling) -> np.ndarray:
    parts, features = parts_of([len(row) for row in rows], _POSITIONS), []
    for numbers in parts:
        part = [rows[number] for number in numbers]
        ids = np.full((len(part), max(map(len, part))), PAD_NUCLEOTIDE_ID, dtype=np.int64)
        for padded, row in zip(ids, part):
            padded[: len(row)] = row
        nucleotides = torch.from_numpy(ids).to(codec.device)
        vectors = codec.quantizer.lookup(codec.encode(nucleotides))
        features.append(pooling(vectors, sequence_mask(nucleotides, None)).cpu().numpy())
    return np.concatenate(features)[np.argsort(np.concatenate(parts))]
