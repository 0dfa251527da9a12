"""What has no window is named by the files that it was read from."""

import numpy as np
import pytest

from vqdna_hf.data import GenomeBases
from vqdna_hf.data.windows import check_windows


@pytest.mark.parametrize(
    ("files", "said"),
    [([], ""), (["a.fa", "b.fa"], " of a.fa, b.fa"), (list("abcdef"), " of a, b, c, 3 more")],
)
def test_files_without_a_window_are_named(files, said):
    unknown = np.full(100, 4, dtype=np.uint8)
    inputs = [{"file": file, "bases": 100} for file in files]
    genome = GenomeBases(unknown, ["one"], np.array([0]), np.array([100]), inputs)
    with pytest.raises(ValueError, match=f"No train contig{said} has a window of 10 bases.*Do that"):
        check_windows(genome, 50, 10, "train", "Do that.")
