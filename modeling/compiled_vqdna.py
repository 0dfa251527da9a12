"""A vocabulary written down: the code of every window of bases that a narrow codec can see, computed once.

A code is a function of `config.receptive_field` bases, R. A window of R letters is a number, its letters the digits,
the first one the most significant. With five letters (A 0, C 1, G 2, T 3, and 4 for a base that the network does not
know: an unknown and a masked one are the same zero vector to it) there are 5^9 windows of nine bases; with the four
known ones, 4^11 of eleven. An end of a sequence is no letter: within R // 2 bases of it a code is a function of the
bases that are there and of the distance alone, and stands in a table of its own.

Everything is computed in float64, where no two layouts of a batch have been found to give other codes, so that a table
and the network agree for every batch, thread count and processor. Where both ends of a sequence are in sight (it is
shorter than R), or where a table of four letters meets an unknown base, the network answers, in float64 as well.

Product codes are the mixed-radix numbers of the levels' codes, without the special tokens: ids less 5.

Notation used for tensor shapes: b: batch, l: length in bases.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from transformers.utils.hub import cached_file

from .configuration_vqdna import NUM_SPECIAL_TOKENS
from .encoding_vqdna import PackedEncoder, encode_sequences
from .files_vqdna import replacing
from .nucleotides_vqdna import UNKNOWN_ID
from .quantization_vqdna import product_codes


# beside the weights of a codec
TABLE_FILE = "codec_table.safetensors"
# letters -> the widest receptive field whose windows are few enough: 1,953,125 and 4,194,304
WIDEST = {5: 9, 4: 11}
# ids that 32 bits hold on a device
MAX_IDS = 2**31 - 1
# positions looked up at a time, which stay in the cache of a core
_BLOCK = 1 << 17
# bases of a pass of the network in float64
_BATCH = 4_096
# positions that the network computes at a time, and that it does again, in other batches, to verify a table
_PASS, _OTHER_PASS = 1 << 16, 50_021
# what `from_pretrained` is told of a repository of the Hub
_HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")
_METADATA = ("letters", "radius", "fingerprint", "digest")


def letters_for(receptive_field: int, ids: int) -> int | None:
    """How many letters a table of windows has; None for windows, or ids, that are too many to write down."""
    if ids > MAX_IDS:
        return None
    return next((letters for letters, widest in WIDEST.items() if receptive_field <= widest), None)


def is_narrow(config) -> bool:
    """Whether a codec's windows are few enough for a table."""
    return letters_for(config.receptive_field, config.vocab_size) is not None


def refuse_wide(config):
    """Make sure that a codec's windows are few enough for a table.

    Raises:
        ValueError: says what R is, what the table would weigh, and what narrows it.
    """
    width, products = config.receptive_field, config.vocab_size
    if is_narrow(config):
        return
    codes = 4.0**width
    if width <= WIDEST[4]:
        raise ValueError(
            f"codebook_sizes={config.codebook_sizes} make {products:,} ids, more than a table of codes holds "
            f"({MAX_IDS:,}): learn a vocabulary of fewer codes (`vqdna train-tokenizer --codebook-sizes`)."
        )
    raise ValueError(
        f"A code of this vocabulary is a function of R = {width} bases: a table of its 4^{width} windows would weigh "
        f"{_weight(codes * (2 if products <= 1 << 16 else 4))}. Tables are made up to R = {WIDEST[4]}. R is "
        "stem_kernel_size + num_hidden_layers * (kernel_size - 1), here "
        f"{config.stem_kernel_size} + {config.num_hidden_layers} * {config.kernel_size - 1}: learn a vocabulary with "
        "`vqdna train-tokenizer --preset compact` (R = 9) or `--preset compact-11`; this one works as it is, by its "
        "network."
    )


def _weight(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB", "TB", "PB"):
        if size < 1000:
            return f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2g} EB" if size < 1e4 else f"{size:.0e} EB"


def de_bruijn(letters: int, order: int) -> np.ndarray:
    """A sequence in which every window of `order` letters stands once: the Lyndon words whose lengths divide it.

    Fredricksen and Maiorana (1978); the words in the order of Duval (1988).

    Returns:
        `np.ndarray` of `uint8`, shape `(letters ** order + order - 1,)`: the beginning stands again at the end.
    """
    found, word = bytearray(), [-1]
    while word:
        word[-1] += 1
        if order % len(word) == 0:
            found += bytes(word)
        length = len(word)
        while len(word) < order:
            word.append(word[-length])
        while word and word[-1] == letters - 1:
            word.pop()
    circle = np.frombuffer(bytes(found), dtype=np.uint8)
    return np.concatenate([circle, circle[: order - 1]])


def window_numbers(digits, letters: int, width: int):
    """The numbers of the windows of `width` letters: of the first, then of each that begins one position later.

    Args:
        digits (`np.ndarray` of `uint32`, or `torch.Tensor` of `int64`, shape `(..., length)`).

    Returns:
        The same type, of shape `(..., length - width + 1)`.
    """
    # windows of 1, 2, 4, ... letters; those that add up to `width`, side by side
    length, span, windows, number, done = digits.shape[-1], 1, digits, None, 0
    while True:
        if width & span:
            size = length - done - span + 1
            part = windows[..., done : done + size]
            number = part if number is None else number[..., :size] * letters**span + part
            done += span
        if done == width:
            return number
        size = length - 2 * span + 1
        windows = windows[..., :size] * letters**span + windows[..., span : span + size]
        span *= 2


@dataclass(eq=False)
class CodeTable:
    """The product codes of all windows: those of whole windows, then those at a beginning, then those at an end.

    Attributes:
        codes (`np.ndarray` of `uint16` or `uint32`, one dimension): product codes; where each part begins, `offsets`
            says.
        letters: 5 (A, C, G, T, anything unknown) or 4.
        radius: R // 2, in bases.
        fingerprint: of the codec whose codes they are.
    """

    codes: np.ndarray
    letters: int
    radius: int
    fingerprint: str = ""

    def __getstate__(self) -> dict:
        """Without what is made from the codes when it is first needed."""
        return {name: self.__dict__[name] for name in ("codes", "letters", "radius", "fingerprint")}

    @property
    def width(self) -> int:
        """R, in bases."""
        return 2 * self.radius + 1

    @cached_property
    def offsets(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the codes begin of positions 0, 1, ... bases behind a beginning, and of those before an end."""
        sizes = [self.letters ** (self.radius + 1 + distance) for distance in range(self.radius)]
        starts = self.letters**self.width + np.cumsum([0, *sizes])
        return starts[:-1], starts[:-1] + sum(sizes)

    @staticmethod
    def size(letters: int, radius: int) -> int:
        """Codes of a table."""
        return letters ** (2 * radius + 1) + 2 * sum(letters ** (radius + 1 + d) for d in range(radius))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the codes and of what they are of, 64 hexadecimal digits: the same wherever it was compiled."""
        digest = hashlib.sha256(f"{self.letters} {self.radius} {self.fingerprint}\n".encode())
        digest.update(np.ascontiguousarray(self.codes, dtype=self.codes.dtype.newbyteorder("<")).data)
        return digest.hexdigest()

    def look_up_joined(self, joined: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Product codes of sequences that stand end to end.

        Args:
            joined (`np.ndarray` of `uint8`, shape `(bases,)`): nucleotide ids 0-5.
            lengths (`np.ndarray` of integers, shape `(sequences,)`): bases of each sequence.

        Returns:
            codes, shape `(bases,)`, and where they are missing, a mask of that shape, or `None` where none is.
        """
        missing = None
        if self.letters == 4:
            unknown = joined >= UNKNOWN_ID
            if unknown.any():
                joined = np.where(unknown, np.uint8(0), joined)
                missing = _near(unknown, self.radius)
        else:
            joined = np.minimum(joined, np.uint8(UNKNOWN_ID))
        codes = self._look_up_whole(joined)
        stops = np.cumsum(lengths)
        long = lengths >= self.width
        if not long.all():
            missing = np.zeros(len(joined), dtype=bool) if missing is None else missing
            missing |= np.repeat(~long, lengths)
        starts, stops = (stops - lengths)[long], stops[long]
        reach = np.arange(2 * self.radius)
        places = np.concatenate([starts[:, None] + reach, stops[:, None] - 1 - reach], axis=1)
        near = np.concatenate([places[:, : self.radius], places[:, 2 * self.radius : 3 * self.radius]], axis=1)
        codes[near] = self._look_up_ends(joined[places].astype(np.int64))
        return codes, missing

    def _look_up_whole(self, letters: np.ndarray) -> np.ndarray:
        """Codes of whole windows; nothing within a radius of the ends, nor where a window holds two sequences."""
        codes = np.zeros(len(letters), dtype=self.codes.dtype)
        last = len(letters) - self.width + 1
        for start in range(0, last, _BLOCK):
            stop = min(start + _BLOCK, last)
            numbers = window_numbers(
                letters[start : stop + self.width - 1].astype(np.uint32), self.letters, self.width
            )
            np.take(self.codes, numbers, out=codes[start + self.radius : stop + self.radius], mode="clip")
        return codes

    def _look_up_ends(self, letters: np.ndarray) -> np.ndarray:
        """Codes of the first positions and of the last, the last one first.

        Args:
            letters (`np.ndarray` of `int64`, shape `(n, 4 * radius)`): the first, and the last in reverse.

        Returns:
            shape `(n, 2 * radius)`.
        """
        radius, found = self.radius, np.empty((len(letters), 2 * self.radius), dtype=self.codes.dtype)
        from_start, from_end = np.zeros((2, len(letters)), dtype=np.int64)
        for place in range(2 * radius):
            from_start = from_start * self.letters + letters[:, place]
            from_end = from_end + letters[:, 2 * radius + place] * self.letters**place
            if place >= radius:
                found[:, place - radius] = self.codes[self.offsets[0][place - radius] + from_start]
                found[:, place] = self.codes[self.offsets[1][place - radius] + from_end]
        return found

    def look_up_batch(self, nucleotide_ids: torch.Tensor, inside: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Product codes of a batch on its device.

        Args:
            nucleotide_ids (`torch.Tensor` of integers, shape `(b, l)`): 0-5 where `inside`.
            inside (`torch.BoolTensor` of shape `(b, l)`): false outside the sequences; a row may hold several.

        Returns:
            `torch.LongTensor` of codes and `torch.BoolTensor` of where they are missing, both `(b, l)`; outside, codes
            are 0 and nothing is missing.
        """
        radius, letters, shape = self.radius, self.letters, inside.shape
        pads = (radius, radius)
        digits = nucleotide_ids.clamp(max=letters - 1).masked_fill(~inside, 0).int()
        number = window_numbers(F.pad(digits, pads), letters, self.width).flatten()
        view = window_numbers(F.pad(inside.int(), pads), 2, self.width).flatten()
        first, divisor, count, missing = (one.index_select(0, view) for one in self._views(number.device))
        index, missing = first + number // divisor % count, missing.view(shape)
        if letters == 4:
            unknown = F.pad((inside & (nucleotide_ids >= UNKNOWN_ID)).float(), pads).unsqueeze(1)
            missing = missing | inside & (F.max_pool1d(unknown, self.width, 1).squeeze(1) > 0)
        codes = self._codes_on(number.device).index_select(0, index).view(shape).long()
        return codes.masked_fill(~inside | missing, 0), missing

    @cached_property
    def _held(self) -> dict:
        """What a look-up needs on the devices where it was needed.

        Plain tensors of no module: nothing that is broadcast between processes, saved, or cast with a model.
        """
        return {}

    def _codes_on(self, device: torch.device) -> torch.Tensor:
        """The codes on a device, as int32: PyTorch gathers no 16-bit numbers without a sign."""
        if ("codes", device) not in self._held:
            self._held["codes", device] = torch.from_numpy(self.codes.astype(np.int32)).to(device)
        return self._held["codes", device]

    def _views(self, device: torch.device) -> list[torch.Tensor]:
        """See `views`."""
        if ("views", device) not in self._held:
            self._held["views", device] = [torch.from_numpy(value).to(device) for value in self.views()]
        return self._held["views", device]

    def views(self, short: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
        """Where the code of a window stands, by what of the window is inside the sequence.

        Which of its letters are inside is a number, too, its bits the digits. For each there are: where the codes of
        such windows begin; what their number is divided by, which takes away the letters behind an end; of what the
        remainder is taken, which takes away those before a beginning; and whether they have no code in the table.

        Args:
            short (`np.ndarray` of integers, shape `(radius, radius)`, *optional*): where the codes begin of windows
                with both ends in sight, by how many letters are before the middle one and behind it; without it these
                windows have no code.

        Returns:
            Four arrays of shape `(2 ** R,)`, three of `int32` and one of `bool`.
        """
        radius = self.radius
        inside = (np.arange(2**self.width)[:, None] >> np.arange(self.width)[::-1]) & 1
        # letters of the same sequence before the middle one, and behind it
        before = inside[:, :radius][:, ::-1].cumprod(axis=1).sum(axis=1)
        after = inside[:, radius + 1 :].cumprod(axis=1).sum(axis=1)
        first = np.append(self.offsets[0], 0)[before] + np.append(self.offsets[1], 0)[after]
        missing = (inside[:, radius] == 1) & (before < radius) & (after < radius)
        if short is not None:
            first[missing] = short[before[missing], after[missing]]
            missing = np.zeros_like(missing)
        nowhere = missing | (inside[:, radius] == 0)
        values = [np.where(nowhere, 0, first), self.letters ** (radius - after)]
        values.append(np.where(nowhere, 1, self.letters ** (before + 1 + after)))
        return (*(value.astype(np.int32) for value in values), missing)


def _near(where: np.ndarray, radius: int) -> np.ndarray:
    """The positions within `radius` of one that is true."""
    found = where.copy()
    for shift in range(1, radius + 1):
        found[shift:] |= where[:-shift]
        found[:-shift] |= where[shift:]
    return found


class ExactNetwork:
    """A codec's network in float64: what tables are made of, and what answers where a table does not.

    Args:
        codec ([`VQDNACodecModel`]): its weights are copied, to the CPU.
    """

    def __init__(self, codec):
        with torch.device("meta"):
            self.codec = type(codec)(codec.config)
        weights = {name: value.detach().cpu() for name, value in codec.state_dict().items()}
        weights = {name: value.double() if value.is_floating_point() else value for name, value in weights.items()}
        self.codec.load_state_dict(weights, assign=True)
        self.codec.requires_grad_(False).eval()

    def products(self, sequences: list[np.ndarray], batch: int = _BATCH) -> list[np.ndarray]:
        """Product codes of sequences of nucleotide ids 0-5, in passes of at most `batch` bases.

        Returns:
            One `np.ndarray` of `int64`, shape `(length,)`, per sequence.
        """
        encoder = PackedEncoder(self.codec, capacity=batch)
        codes = encode_sequences(encoder, sequences, torch.device("cpu"), batch)
        return [product_codes(one, self.codec.config.codebook_sizes) for one in codes]

    def fill(self, products: np.ndarray, missing: np.ndarray, joined: np.ndarray, lengths: np.ndarray):
        """Put in place the codes that a table does not hold; for the arguments see `CodeTable.look_up_joined`."""
        radius, stops = self.codec.config.halo, np.cumsum(lengths)
        missing = missing & ~self._fill_unknown(products, missing, joined, stops - lengths, stops)
        places = np.flatnonzero(missing)
        if not places.size:
            return
        rows = np.searchsorted(stops, places, side="right")
        firsts = np.flatnonzero((np.diff(places, prepend=-2) != 1) | (np.diff(rows, prepend=-1) != 0))
        spans = [(part[0], part[-1] + 1, stops[rows[at]]) for part, at in zip(np.split(places, firsts[1:]), firsts)]
        starts = [stop - lengths[rows[at]] for (*_, stop), at in zip(spans, firsts)]
        lefts = [max(start, first - radius) for (first, *_), start in zip(spans, starts)]
        parts = [joined[left : min(stop, last + radius)] for (_, last, stop), left in zip(spans, lefts)]
        for (first, last, _), left, found in zip(spans, lefts, self.products(parts)):
            products[first:last] = found[first - left : last - left]

    def _fill_unknown(self, products, missing, joined, starts, stops) -> np.ndarray:
        """Put in place the one code of windows without a known base, of which an assembly has millions; where."""
        config = self.codec.config
        ends = np.zeros(len(joined), dtype=bool)
        ends[np.concatenate([starts[starts < len(joined)], stops[stops > 0] - 1])] = True
        seen = _near((joined < UNKNOWN_ID) | ends, config.halo)
        where = missing & ~seen
        if where.any():
            window = np.full(config.receptive_field, UNKNOWN_ID, dtype=np.uint8)
            products[where] = self.products([window])[0][config.halo]
        return where


@torch.no_grad()
def compute_table(network: ExactNetwork, fingerprint: str, advance: Callable = lambda bases: None) -> CodeTable:
    """Compute the codes of all windows: each is met once in a de Bruijn sequence.

    Args:
        network: of the codec.
        fingerprint: of the codec.
        advance: called with the number of bases that have passed the network since it was called last.

    Raises:
        ValueError: there are too many windows; see `refuse_wide`.
    """
    config = network.codec.config
    refuse_wide(config)
    letters, radius = letters_for(config.receptive_field, config.vocab_size), config.halo
    dtype = np.uint16 if config.vocab_size - NUM_SPECIAL_TOKENS <= 1 << 16 else np.uint32
    table = CodeTable(np.zeros(CodeTable.size(letters, radius), dtype), letters, radius, fingerprint)
    for numbers, found in _whole_windows(network, letters, _PASS, advance):
        table.codes[numbers] = found
    for places, found in _end_windows(network, table, advance):
        table.codes[places] = found
    return table


@torch.no_grad()
def verify_table(table: CodeTable, network: ExactNetwork, advance: Callable = lambda bases: None) -> int:
    """How many windows have another code when the network computes all of them again, in other batches.

    Args:
        advance: see `compute_table`.
    """
    wrong = 0
    for numbers, found in _whole_windows(network, table.letters, _OTHER_PASS, advance):
        wrong += int((table.codes[numbers] != found).sum())
    for places, found in _end_windows(network, table, advance):
        wrong += int((table.codes[places] != found).sum())
    return wrong


def passes_of(config) -> int:
    """Bases that pass the network while a table is computed, about."""
    letters, radius = letters_for(config.receptive_field, config.vocab_size), config.halo
    return letters**config.receptive_field + letters ** (2 * radius) * 2 * radius * bool(radius)


def _whole_windows(network: ExactNetwork, letters: int, step: int, advance: Callable) -> Iterator[tuple]:
    """Numbers of windows, and their codes, pass by pass."""
    config = network.codec.config
    circle, radius = de_bruijn(letters, config.receptive_field), config.halo
    numbers = window_numbers(circle.astype(np.uint32), letters, config.receptive_field)
    for start in range(0, len(numbers), step):
        part = circle[start : start + step + 2 * radius]
        found = network.products([part])[0][radius : len(part) - radius]
        yield numbers[start : start + step], found
        advance(len(found))


def _end_windows(network: ExactNetwork, table: CodeTable, advance: Callable) -> Iterator[tuple]:
    """Places of a table where the codes near ends stand, and these codes: of all sequences of 2 * radius bases."""
    radius, letters = table.radius, table.letters
    weights = letters ** np.arange(2 * radius)[::-1]
    step = _PASS // max(1, 2 * radius)
    for start in range(0, letters ** (2 * radius) if radius else 0, step):
        rows = np.arange(start, min(start + step, letters ** (2 * radius)))
        digits = (rows[:, None] // weights % letters).astype(np.uint8)
        found = np.stack(network.products(list(digits)))
        for distance in range(radius):
            seen = radius + 1 + distance
            yield table.offsets[0][distance] + rows // letters ** (2 * radius - seen), found[:, distance]
            yield table.offsets[1][distance] + rows % letters**seen, found[:, -1 - distance]
        advance(found.size)


def save_table(table: CodeTable, path: Path):
    """Write a table; under another name first, then renamed, so that none is ever half-written."""
    metadata = {name: str(getattr(table, name)) for name in _METADATA}
    with replacing(path) as partial:
        save_file({"codes": table.codes}, partial, metadata=metadata)


def load_table(path: str | Path, config, fingerprint: str) -> CodeTable:
    """Read the table of a codec.

    Args:
        path: the file.
        config ([`VQDNACodecConfig`]): of the codec.
        fingerprint: of the codec.

    Raises:
        ValueError: the file cannot be read, was edited or cut short, or belongs to other weights; names it and says
            which.
    """
    again = "Copy or download it again, or compile the vocabulary again with `vqdna compile-tokenizer`."
    try:
        with safe_open(path, "np") as file:
            metadata, codes = file.metadata() or {}, np.array(file.get_tensor("codes"))
        letters, radius = int(metadata["letters"]), int(metadata["radius"])
    except PermissionError as error:
        raise ValueError(f"{path} cannot be read: permission denied. Ask its owner to let you read it.") from error
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be read ({error}): the file is truncated or damaged. {again}") from error
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is no table of codes ({error!r}). {again}") from error
    table = CodeTable(codes, letters, radius, metadata.get("fingerprint", ""))
    if table.fingerprint != fingerprint:
        raise ValueError(
            f"{path} holds the codes of the vocabulary {table.fingerprint}, but the weights beside it are those of "
            f"{fingerprint}: the files are mixed from two. {again}"
        )
    wanted = (letters_for(config.receptive_field, config.vocab_size), config.halo)
    if (letters, radius) != wanted or codes.dtype.kind != "u" or codes.shape != (CodeTable.size(letters, radius),):
        raise ValueError(
            f"{path} holds {codes.size:,} codes ({codes.dtype}) of windows of {2 * radius + 1} bases in {letters} "
            f"letters, but the configuration beside it has a receptive field of {config.receptive_field} bases: the "
            f"file was cut short, or is another vocabulary's. {again}"
        )
    if table.digest != metadata.get("digest") or codes.max() >= config.vocab_size - NUM_SPECIAL_TOKENS:
        raise ValueError(
            f"{path} has the digest {table.digest}, but was written with {metadata.get('digest')}: its codes were "
            f"edited or damaged. {again}"
        )
    return table


def save_table_beside(codec, directory, options: dict):
    """Write a codec's table into the directory of its weights, where it has one.

    Args:
        options: those of `save_pretrained`.
    """
    table = codec._valid_table()
    if table is not None and Path(directory).is_dir() and options.get("is_main_process", True):
        save_table(table, Path(directory) / TABLE_FILE)


def load_table_beside(codec, place: str | os.PathLike | None, options: dict):
    """Read the table that a codec's configuration speaks of, from the directory or repository of its weights.

    Args:
        place, options: those of `from_pretrained`.

    Raises:
        ValueError: it is missing, or see `load_table`.
    """
    if not codec.config.compiled or place is None or codec.device.type == "meta":
        return
    found = {name: options[name] for name in _HUB_OPTIONS if name in options}
    path = cached_file(place, TABLE_FILE, _raise_exceptions_for_missing_entries=False, **found)
    if path is None:
        raise ValueError(missing_table(place))
    codec.table = load_table(path, codec.config, codec.fingerprint())


def missing_table(place) -> str:
    """What to say where a compiled vocabulary lacks its table."""
    return (
        f"{place} holds a compiled vocabulary, but the file {TABLE_FILE} was not found there: copy or download the "
        "whole directory; or make the table again with `vqdna compile-tokenizer`, where a tokenizer lies (beside a "
        'model alone, write `"compiled": false` in its config.json, load it, and call `compile_vocabulary`).'
    )


__all__ = [
    "TABLE_FILE",
    "CodeTable",
    "ExactNetwork",
    "compute_table",
    "de_bruijn",
    "is_narrow",
    "letters_for",
    "load_table",
    "load_table_beside",
    "missing_table",
    "passes_of",
    "refuse_wide",
    "save_table",
    "save_table_beside",
    "verify_table",
    "window_numbers",
]
