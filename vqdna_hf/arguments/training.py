"""Arguments of the three stages."""

from dataclasses import asdict, dataclass
from typing import Literal, get_args

from ..checkpoints import DEFAULT_CHECKPOINT
from ..options import SEED, Arguments, option, required


Pooling = Literal["mean", "max", "mean+max", "cls", "bins"]
Recipe = Literal["default", "paper"]
CodecPreset = Literal[
    *("paper-vq", "paper-hrq", "compact", "compact-vq", "compact-rq"),
    *("compact-11", "compact-11-vq", "compact-11-rq", "small", "tiny"),
]
MaskingKind = Literal["base", "token", "span"]
Mode = Literal["lora", "full", "linear", "end-to-end"]
Problem = Literal["single_label_classification", "multi_label_classification", "regression"]
SINGLE_LABEL, MULTI_LABEL, REGRESSION = get_args(Problem)
# beyond what any device holds; a product of several such numbers still fits in 64 bits
LARGEST_BATCH = 2**16
LARGEST_CODEBOOK = 2**20
MOST_STEPS = 10**9

_BASES = {"at_least": 1, "at_most": 1_000_000}
_BATCH = {"at_least": 1, "at_most": LARGEST_BATCH}
_ATTENTION = "how attention is computed: sdpa, eager, flash_attention_2, ...; the encoder's own choice by default"


def _settings(arguments, free: tuple[str, ...], younger: tuple[str, ...]) -> dict:
    """The options of a run but those that decide nothing, and the younger ones where they are as they always were.

    Records of runs made before there were the younger options stay comparable, and can be resumed.
    """
    defaults = {name: one.default for name, one in type(arguments).__dataclass_fields__.items()}
    return {
        name: value
        for name, value in asdict(arguments).items()
        if name not in free and not (name in younger and value == defaults[name])
    }


@dataclass(kw_only=True)
class RunArguments(Arguments):
    """What every training command shares."""

    output: str = required("directory to write")
    max_steps: int = option(2000, "optimizer steps", at_least=1, at_most=MOST_STEPS)
    batch_size: int = option(64, "windows per step and process, before accumulation", **_BATCH)
    gradient_accumulation_steps: int = option(1, "micro-batches per optimizer step", **_BATCH)
    learning_rate: float = option(1e-3, "peak learning rate", at_least=0)
    warmup_steps: int = option(200, "steps of linear warm-up", at_least=0, at_most=MOST_STEPS)
    weight_decay: float = option(0.01, "weight decay of AdamW", at_least=0)
    seed: int = option(42, "seed of initialization, windows and masks", **SEED)
    bf16: bool = option(False, "train under bf16 autocast (codes and codebooks stay float32)")
    logging_steps: int = option(50, "steps between log lines", at_least=1)
    eval_steps: int = option(500, "steps between evaluations", at_least=1)
    save_steps: int = option(500, "steps between checkpoints", at_least=1)
    resume: bool = option(False, "resume the unfinished run in --output")

    def settings(self) -> dict:
        """What must not change between the parts of one run."""
        return _settings(self, ("output", "resume", "save_steps"), ("compile", "attn_implementation"))


@dataclass(kw_only=True)
class TrainTokenizerArguments(RunArguments):
    """Stage 1: learn a vocabulary from FASTA files."""

    fasta: list[str] = option([], "FASTA file, plain or compressed; give it once per file")
    preset: CodecPreset = option(
        "compact",
        "architecture; codes of the compact ones are functions of 9 bases, or of 11, and are compiled; tiny is for "
        "tests",
    )
    recipe: Recipe = option("default", "paper: Appendix A's optimizer, no masked bases, nothing added to the loss")
    quantizer: Literal["vq", "rq", "hrq"] | None = option(None, "instead of the preset's")
    codebook_sizes: list[int] = option(
        [], "codes of each level, instead of the preset's", at_least=1, at_most=LARGEST_CODEBOOK
    )
    codebook_dim: int | None = option(
        None, "width of a code vector, instead of the preset's", at_least=1, at_most=2**16
    )
    quantized_layers: list[int] = option(
        [], "encoder layers (from 1) that the levels quantize, the last among them", at_least=1
    )
    mask_ratio: float | None = option(None, "fraction of the input bases masked (denoising)", at_least=0, below=1)
    word_radius: int | None = option(
        None, "bases on either side that a code has to name by itself, while training", at_least=0
    )
    clean_steps: int = option(
        0, "last steps, in which nothing is masked; k-means begins them", at_least=0, at_most=MOST_STEPS
    )
    restart_threshold: float | None = option(
        None, "restart codes used less than this fraction of the mean usage", at_least=0, below=1
    )
    warmup_length: int = option(128, "window during warm-up, in bases", **_BASES)
    length: int = option(256, "window after warm-up, in bases", **_BASES)
    kmeans: bool = option(True, "k-means before the first step and once after warm-up")
    eval_contigs: list[str] = option([], "contig or chromosome to hold out; about --eval-fraction when none is named")
    eval_fraction: float = option(
        0.01, "part of the bases to hold out when no contig is named", at_least=0, at_most=0.5
    )
    eval_windows: int = option(512, "held-out windows to evaluate on", at_least=1)
    table: bool = option(True, "at the end, compile a vocabulary whose codes are functions of at most 11 bases")

    def settings(self) -> dict:
        """As of every run; compiling decides nothing about the weights."""
        return {name: value for name, value in super().settings().items() if name != "table"}


@dataclass(kw_only=True)
class CompileTokenizerArguments(Arguments):
    """Compile the vocabulary of a directory: from then on its codes are looked up, and the same on every machine."""

    POSITIONAL = ("directory",)

    directory: str = required("directory of a tokenizer, with or without a model; the table is written into it")
    verify: bool = option(True, "compute the codes of all windows once more, in other batches, and compare")


@dataclass(kw_only=True)
class TokenizeArguments(Arguments):
    """Stage 2, first part: store windows of FASTA files, with codes on request; or the codes of whole contigs."""

    fasta: list[str] = option([], "FASTA file, plain or compressed; give it once per file")
    output: str = required("directory to write")
    tokenizer: str | None = option(
        None,
        "tokenizer directory, or a checkpoint of the package, whose codes are stored; "
        f"{DEFAULT_CHECKPOINT} for --codes and --contigs when not given",
    )
    codes: bool = option(False, "store code ids beside the bases")
    contigs: bool = option(False, "no windows, but the codes of every base, to be read back by contig and interval")
    workers: int = option(
        1,
        "processes that tokenize, for --codes and --contigs; 1 is this process with its threads",
        at_least=1,
        at_most=1024,
    )
    window: int = option(512, "window, in bases", at_least=1)
    min_length: int = option(64, "shortest piece at the end of a contig to keep, in bases", at_least=1)
    shard_windows: int = option(50_000, "windows per file", at_least=1)
    eval_contigs: list[str] = option([], "contig or chromosome to hold out; about --eval-fraction when none is named")
    eval_fraction: float = option(
        0.01, "part of the bases to hold out when no contig is named", at_least=0, at_most=0.5
    )


@dataclass(kw_only=True)
class PretrainArguments(RunArguments):
    """Stage 2, second part: masked pre-training over the frozen vocabulary."""

    corpus: str = required("directory that `vqdna tokenize` wrote")
    tokenizer: str = option(DEFAULT_CHECKPOINT, "tokenizer directory, or a checkpoint of the package")
    model: str | None = option(
        None, "pre-trained model to start from, or a checkpoint of the package; a new encoder when not given"
    )
    preset: Literal["paper", "paper-bert", "paper-local", "small", "small-conv", "small-local", "tiny"] = option(
        "small", "encoder; tiny is for tests"
    )
    recipe: Recipe = option("default", "paper: Appendix A's optimizer, and `token` masking")
    masking: MaskingKind = option("base", "base masks bases, then tokenizes; token is the paper's")
    mask_ratio: float = option(0.25, "fraction of the bases to predict", above=0, below=1)
    span_length: int | None = option(
        None, "length, in bases, of a masked span (--masking span) or of a run of masked bases (base)", **_BASES
    )
    lora: bool = option(False, "train LoRA adapters and heads instead of all parameters; needs --model")
    random_strand: bool = option(True, "read windows on either strand (not with stored codes)")
    base_loss_weight: float = option(1.0, "weight of the base head's loss", at_least=0)
    gradient_checkpointing: bool = option(False, "trade compute for memory")
    compile: bool = option(False, "compile the model with torch.compile (slow to start)")
    attn_implementation: str | None = option(None, _ATTENTION)
    eval_windows: int = option(512, "held-out windows to evaluate on", at_least=1)
    neighbour_steps: int = option(300, "training steps of the neighbours-only predictor; 0 leaves it out", at_least=0)


@dataclass(kw_only=True)
class FinetuneArguments(Arguments):
    """Stage 3: adapt a pre-trained model to a task."""

    data: str = required("directory with train, dev and test files (CSV, gzip CSV or Parquet; sequence,label)")
    model: str = option(
        DEFAULT_CHECKPOINT,
        "checkpoint of the package, directory that `vqdna pretrain` wrote, or any model, local or of the Hub",
    )
    trust_remote_code: bool = option(False, "run the code of a Hub model that brings its own")
    output: str = required("directory to write")
    mode: Mode = option("lora", "linear is a logistic regression on code vectors")
    recipe: Recipe = option("default", "paper: Appendix A's optimizer, batch and learning rate")
    task: str | None = option(None, "name to record; the data directory's when not given")
    problem: Problem | None = option(None, "'regression' for whole-number labels that are values")
    metric: Literal["mcc", "f1", "accuracy", "spearman", "pearson"] | None = option(
        None, "what dev selects by; mcc, or spearman of a regression, when not given"
    )
    epochs: float = option(10, "passes over the training data", above=0, at_most=1_000_000)
    batch_size: int = option(32, "sequences per step and process", **_BATCH)
    gradient_accumulation_steps: int = option(1, "micro-batches per optimizer step", **_BATCH)
    learning_rate: float | None = option(None, "peak learning rate; 1e-3 for lora, 5e-4 otherwise", above=0)
    codec_learning_rate_factor: float = option(
        0.1, "the codec's learning rate in units of the others' (end-to-end)", at_least=0
    )
    weight_decay: float = option(0.01, "weight decay of AdamW", at_least=0)
    warmup_ratio: float = option(0.1, "part of the steps spent warming up", at_least=0, below=1)
    ema_decay: float = option(
        0.0,
        "decay, per step, of a moving average of the weights, which is scored and saved in their place; 0 for none; "
        "linear has no steps",
        at_least=0,
        below=1,
    )
    dropout: float = option(0.1, "dropout of the classification head", at_least=0, below=1)
    pooling: Pooling = option("mean+max", "bins is for tasks aligned to a position")
    pooling_bins: int = option(8, "parts of the sequence, for --pooling bins", at_least=1, at_most=4096)
    lora_r: int = option(8, "rank of the adapters", at_least=1, at_most=2**16)
    lora_alpha: int = option(16, "scale of the adapters", at_least=1)
    lora_dropout: float = option(0.0, "dropout of the adapters", at_least=0, below=1)
    rc_augment: bool = option(False, "read training sequences on a random strand")
    strand_average: bool = option(False, "average the predictions of both strands")
    max_length: int | None = option(
        None, "bases to keep of each training sequence; all by default; predictions see the full length", at_least=1
    )
    seed: int = option(42, "seed of the head, the order and the strands", **SEED)
    bf16: bool = option(False, "train under bf16 autocast (codes stay float32)")
    gradient_checkpointing: bool = option(False, "trade compute for memory")
    compile: bool = option(False, "compile the model with torch.compile (slow to start)")
    attn_implementation: str | None = option(None, _ATTENTION)
    group_by_length: bool = option(True, "put sequences of like lengths into a batch, where lengths differ")
    cache_codes: bool = option(True, "compute the codes of a data set once, and keep them (not end-to-end)")
    cache_dir: str | None = option(None, "where codes are kept; a folder of the datasets cache by default")
    resume: bool = option(False, "resume the unfinished run in --output")

    def settings(self) -> dict:
        """What must not change between the parts of one run."""
        younger = ("compile", "attn_implementation", "gradient_checkpointing", "group_by_length", "ema_decay")
        return _settings(self, ("output", "resume", "cache_codes", "cache_dir"), younger)
