"""The scores of the GUE benchmark as an `evaluate` module.

Self-contained, and with one module a line: `evaluate` copies this one file, and finds what it needs by reading the
lines that start with "import" or "from".
"""

import datasets
import evaluate
from scipy.stats import spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef


_DESCRIPTION = """\
The score of a task of GUE (Genome Understanding Evaluation, Zhou et al., 2024), of the gRNA editing efficiency tasks
or of species classification: the Matthews correlation coefficient (MCC), macro-F1, accuracy or the Spearman
correlation.
"""

_CITATION = """\
@inproceedings{zhou2024dnabert2,
  title={{DNABERT-2}: Efficient Foundation Model and Benchmark For Multi-Species Genomes},
  author={Zhou, Zhihan and Ji, Yanrong and Li, Weijian and Dutta, Pratik and Davuluri, Ramana V and Liu, Han},
  booktitle={International Conference on Learning Representations},
  year={2024}
}
"""

_INPUTS = """\
Args:
    predictions: classes (integers), or numbers for the Spearman correlation.
    references: the same for the true labels.
Returns:
    one score: "mcc" in [-1, 1], "f1" in [0, 1] (macro, over the classes that occur), "accuracy" in [0, 1], or
    "spearman" in [-1, 1] (0.0 where predictions or references are constant).
Examples:
    >>> metric = evaluate.load("path/to/gue", "prom_core_tata")
    >>> metric.compute(predictions=[0, 1, 1, 0], references=[0, 1, 0, 0])
    {'mcc': 0.5773502691896258}
"""

_METRICS = ("mcc", "f1", "accuracy", "spearman")
_MARKS = ("H3", "H3K14ac", "H3K36me3", "H3K4me1", "H3K4me2", "H3K4me3", "H3K79me3", "H3K9ac", "H4", "H4ac")
_MCC_TASKS = (
    [f"emp_{mark}" for mark in _MARKS]
    + [f"mouse_{number}" for number in range(5)]
    + [f"prom_{length}_{kind}" for length in ("core", "300") for kind in ("all", "notata", "tata")]
    + ["splice_reconstructed"]
    + [f"tf_{number}" for number in range(5)]
)
# task -> metric; the editing efficiency tasks are one per cell line (K562, Jurkat, H1), of which any name will do
_TASKS = dict.fromkeys(_MCC_TASKS, "mcc") | {"virus_covid": "f1", "species": "accuracy"}
_LOWER = {task.lower(): metric for task, metric in _TASKS.items()}


def _metric_of(config_name: str) -> str:
    name = config_name.lower().replace("prom/prom_", "prom_").replace("/", "_")
    if name in _METRICS:
        return name
    if name.startswith("eep_") and len(name) > len("eep_"):
        return "spearman"
    if name in _LOWER:
        return _LOWER[name]
    raise ValueError(
        f"There is no GUE score {config_name!r}. Name a score ({', '.join(_METRICS)}) or a task "
        f"({', '.join(_TASKS)}, eep_...), as in evaluate.load(path, 'mcc')."
    )


class GUE(evaluate.Metric):
    def _info(self):
        kind = "float64" if _metric_of(self.config_name) == "spearman" else "int64"
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": datasets.Value(kind), "references": datasets.Value(kind)}),
            reference_urls=["https://github.com/MAGICS-LAB/DNABERT_2"],
        )

    def _compute(self, predictions, references):
        metric = _metric_of(self.config_name)
        if metric == "mcc":
            score = matthews_corrcoef(references, predictions)
        elif metric == "f1":
            score = f1_score(references, predictions, average="macro", zero_division=0)
        elif metric == "accuracy":
            score = accuracy_score(references, predictions)
        elif len(set(predictions)) == 1 or len(set(references)) == 1:
            score = 0.0
        else:
            score = spearmanr(predictions, references).statistic
        return {metric: float(score)}
