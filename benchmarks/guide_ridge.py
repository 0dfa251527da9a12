"""What is there to beat on guides? Ridge regression on the k-mers at each place of eep/spcas9.

    VQDNA_DATA=/path/to/data python benchmarks/guide_ridge.py

The penalty is chosen on dev. Prints Spearman correlations x 100, dev and then test: of single bases, then with pairs,
then with triples of them as well. A minute on a CPU core.
"""

import argparse
from itertools import product
from pathlib import Path

import numpy as np
from datasets import load_dataset
from measuring import parse_with_data
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge


PENALTIES = (1, 10, 100, 1000)


def indicators(sequences: list[str], k: int) -> np.ndarray:
    """Which k-mer is where: `(sequences, places x 4**k)` of 0 and 1; the sequences are of one length."""
    numbers = {"".join(word): number for number, word in enumerate(product("ACGT", repeat=k))}
    places = len(sequences[0]) - k + 1
    found = np.zeros((len(sequences), places * 4**k), dtype=np.float32)
    for row, sequence in enumerate(sequences):
        for place in range(places):
            if (number := numbers.get(sequence[place : place + k])) is not None:
                found[row, place * 4**k + number] = 1
    return found


def correlation(model: Ridge, features: np.ndarray, labels: np.ndarray) -> float:
    return float(spearmanr(model.predict(features), labels).statistic)


def main():
    arguments = parse_with_data(argparse.ArgumentParser(description=__doc__))
    folder = Path(arguments.data) / "eep" / "spcas9"
    splits = load_dataset("csv", data_files={name: str(folder / f"{name}.csv") for name in ("train", "dev", "test")})
    labels = {name: np.asarray(split["label"]) for name, split in splits.items()}
    features = {name: np.empty((len(split), 0), dtype=np.float32) for name, split in splits.items()}
    for longest in (1, 2, 3):
        features = {
            name: np.hstack([features[name], indicators(list(split["sequence"]), longest)])
            for name, split in splits.items()
        }
        models = [Ridge(alpha=penalty).fit(features["train"], labels["train"]) for penalty in PENALTIES]
        dev = [correlation(model, features["dev"], labels["dev"]) for model in models]
        best = int(np.argmax(dev))
        test = correlation(models[best], features["test"], labels["test"])
        print(f"k-mers of 1 to {longest}: {100 * dev[best]:.1f} {100 * test:.1f} (penalty {PENALTIES[best]})")


if __name__ == "__main__":
    main()
