"""The graph of a compiled vocabulary: integer arithmetic and a table of codes, and no network at all.

The table of `modeling/compiled_vqdna.py` lacks sequences that are shorter than R, both ends of which are in sight; the
graph holds their codes as well, so that it answers for every sequence. A table of four letters lacks windows with an
unknown or a masked base, too, which are too many to write down: there the graph says so, by codes and ids of -1.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..modeling.compiled_vqdna import ExactNetwork
from ..modeling.configuration_vqdna import NUM_SPECIAL_TOKENS
from ..modeling.modeling_vqdna_codec import VQDNACodecModel
from ..modeling.nucleotides_vqdna import UNKNOWN_ID, nucleotides_to_special_ids, sequence_mask
from ..modeling.quantization_vqdna import level_codes


# the code and the id of a base whose window the table does not hold
NO_CODE = -1
# sequences that the network reads at a time
_SEQUENCES = 1 << 14


class TableGraph(nn.Module):
    """Bases in, codes and ids out, looked up: as `TokenizerGraph`, but equal to what the codec gives, to the last id.

    Args:
        codec ([`VQDNACodecModel`]): has a table.
    """

    def __init__(self, codec: VQDNACodecModel):
        super().__init__()
        table = codec.table
        self.sizes, self.letters, self.radius = codec.config.codebook_sizes, table.letters, table.radius
        short, places = short_codes(ExactNetwork(codec), table.letters, table.radius)
        codes = np.concatenate([table.codes, short.astype(table.codes.dtype)])
        # windows with an unknown base are no part of a table of four letters
        self.is_partial = table.letters == UNKNOWN_ID
        # PyTorch looks nothing up in 16 bits without a sign; the same bits with one are as small a file
        self.wraps = codes.dtype == np.uint16
        self.register_buffer("table", torch.from_numpy(codes.view(np.int16 if self.wraps else np.int32)))
        views = table.views(places + len(table.codes))[:3]
        for name, values in zip(("first", "divisor", "count"), views):
            self.register_buffer(name, torch.from_numpy(values))

    def forward(self, nucleotide_ids: torch.LongTensor) -> tuple[torch.LongTensor, torch.LongTensor]:
        """
        Args:
            nucleotide_ids (`torch.LongTensor` of shape `(batch_size, length)`): [CLS], [SEP], [PAD] are 6, 7, 8.

        Returns:
            codes of shape `(batch_size, length, levels)`, 0 outside the sequence, and `input_ids` of shape
            `(batch_size, length)`; both are `NO_CODE` where the window of a base is not in the table.
        """
        inside = sequence_mask(nucleotide_ids, None)
        digits = nucleotide_ids.clamp(max=self.letters - 1).masked_fill(~inside, 0).int()
        number = self._window_numbers(digits, self.letters).flatten()
        view = self._window_numbers(inside.int(), 2).flatten()
        # subtle: not by brackets, which become an operator that takes no indices of 32 bits
        first, divisor, count = (part.index_select(0, view) for part in (self.first, self.divisor, self.count))
        products = self.table.index_select(0, first + number // divisor % count).int()
        products = products % (1 << 16) if self.wraps else products
        products = products.view_as(nucleotide_ids).long() * inside
        ids, codes = products + NUM_SPECIAL_TOKENS, level_codes(products, self.sizes)
        if self.is_partial:
            unknown = (inside & (nucleotide_ids >= UNKNOWN_ID)).int()
            missing = inside & (self._window_numbers(unknown, 2) > 0)
            ids, codes = ids.masked_fill(missing, NO_CODE), codes.masked_fill(missing.unsqueeze(-1), NO_CODE)
        special = nucleotides_to_special_ids(nucleotide_ids)
        return codes, torch.where(special >= 0, special, ids)

    def _window_numbers(self, digits: torch.Tensor, letters: int) -> torch.Tensor:
        """The numbers of the windows around each digit, zeros beyond the ends; of the digits' shape, `(b, l)`."""
        padded, number = F.pad(digits, (self.radius, self.radius)), 0
        # subtle: not by halves, as the codec does it, whose lengths a trace does not show to be `l` again
        for place in range(2 * self.radius + 1):
            number = number * letters + padded.narrow(1, place, digits.shape[1])
        return number


@torch.no_grad()
def short_codes(network: ExactNetwork, letters: int, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Product codes of the bases that see both ends of their sequence.

    Args:
        network: of the codec.
        letters, radius: of its table.

    Returns:
        codes, `np.ndarray` of `int64` and one dimension; and where those begin of bases with so many letters before
        them and so many behind, shape `(radius, radius)`. The number of the sequence says which of them it is.
    """
    places, parts, used = np.zeros((radius, radius), dtype=np.int64), [np.zeros(0, dtype=np.int64)], 0
    for length in range(1, 2 * radius):
        found = _codes_of_all(network, letters, length)
        for before in range(max(0, length - radius), min(radius, length)):
            places[before, length - 1 - before] = used
            parts.append(found[:, before])
            used += len(found)
    return np.concatenate(parts), places


def _codes_of_all(network: ExactNetwork, letters: int, length: int) -> np.ndarray:
    """Product codes of all sequences of a length, in the order of their numbers; `(letters ** length, length)`."""
    weights, found = letters ** np.arange(length)[::-1], []
    for start in range(0, letters**length, _SEQUENCES):
        numbers = np.arange(start, min(start + _SEQUENCES, letters**length))
        found += network.products(list((numbers[:, None] // weights % letters).astype(np.uint8)))
    return np.stack(found)
