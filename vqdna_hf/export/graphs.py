"""The graphs of `vqdna export`: what PyTorch traces, and how it is written.

The models themselves hold things a graph cannot: a search in parts, a batch size turned into a number, notes for the
user. What stands here computes the same without them; `checks.py` makes sure that it does.
"""

import logging
import warnings
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from ..modeling.checks_vqdna import is_recorded
from ..modeling.modeling_vqdna import VQDNAPreTrainedModel, pack_codes
from ..modeling.modeling_vqdna_codec import VQDNACodecModel
from ..modeling.nucleotides_vqdna import nucleotides_to_special_ids, reverse_complement_batch, sequence_mask
from ..version import __version__
from .tables import TableGraph


# 17 lacks LayerNormalization; with 23 the exporter fuses rotary positions into an operator that fails on batches
OUTPUTS = {
    "VQDNAForMaskedLM": ["logits", "base_logits"],
    "VQDNAForSequenceClassification": ["logits"],
    "VQDNAForTokenClassification": ["logits"],
    "VQDNAModel": ["last_hidden_state"],
}


class TokenizerGraph(nn.Module):
    """Bases in, codes and ids out, as one graph for every batch and length."""

    def __init__(self, codec: VQDNACodecModel):
        super().__init__()
        self.codec = codec

    def forward(self, nucleotide_ids: torch.LongTensor) -> tuple[torch.LongTensor, torch.LongTensor]:
        """
        Args:
            nucleotide_ids (`torch.LongTensor` of shape `(batch_size, length)`): [CLS], [SEP], [PAD] are 6, 7, 8.

        Returns:
            codes of shape `(batch_size, length, levels)`, 0 outside the sequence, and `input_ids` of shape
            `(batch_size, length)`: what `VQDNACodecModel.encode` and `VQDNAModel.encode_nucleotides` give.
        """
        quantizer, latents = self.codec.quantizer, self.codec.latents(nucleotide_ids)
        codes, vectors = [], []
        for level, book in enumerate(quantizer.codebooks):
            h = quantizer.level_input(quantizer.latents_of(latents, level), vectors)
            # subtle: not `nearest_codes`, which works in parts: a graph would fix how many
            norms = book.embedding.pow(2).sum(dim=1)
            nearest = torch.addmm(norms, h.flatten(0, 1), book.embedding.t(), alpha=-2).argmin(dim=1)  # [b * l]
            codes.append(nearest.view(h.shape[:2]))
            vectors.append(book.embedding[nearest].view_as(h))
        codes = torch.stack(codes, dim=-1) * sequence_mask(nucleotide_ids, None).unsqueeze(-1)  # [b, l, n]
        special = nucleotides_to_special_ids(nucleotide_ids)
        return codes, torch.where(special >= 0, special, pack_codes(codes, self.codec.config.codebook_sizes))


def tokenizer_graph(codec: VQDNACodecModel) -> nn.Module:
    """The graph of a vocabulary: a table where it is compiled, and its network otherwise."""
    return TokenizerGraph(codec) if codec.table is None else TableGraph(codec)


class ModelGraph(nn.Module):
    """Ids and mask, or bases, in; what the model predicts out, of both strands if the model averages them.

    Args:
        tokenizer: the graph of its vocabulary, see `tokenizer_graph`.
    """

    def __init__(self, model: VQDNAPreTrainedModel, strand_average: bool, tokenizer: nn.Module):
        super().__init__()
        self.model, self.strand_average = model, strand_average
        self.names = OUTPUTS[type(model).__name__]
        self.tokenizer = tokenizer

    def forward(self, ids: torch.LongTensor, attention_mask: torch.Tensor | None = None) -> tuple[torch.Tensor, ...]:
        """
        Args:
            ids (`torch.LongTensor` of shape `(batch_size, length)`): nucleotide ids or, with `attention_mask`, ids of
                the tokenizer.
        """
        if is_recorded():
            # subtle: PyTorch asks for another length than 1, which no range of lengths says: it would fix the length
            # of the example. What is written does not hold this, and is checked on a length of 1
            torch._check(ids.shape[1] > 1)
        if attention_mask is not None:
            return self._outputs(ids, attention_mask)
        outputs = self._read(ids)
        if not self.strand_average:
            return outputs
        return ((outputs[0] + self._read(reverse_complement_batch(ids))[0]) / 2,)

    def _read(self, nucleotide_ids: torch.LongTensor) -> tuple[torch.Tensor, ...]:
        input_ids = self.tokenizer(nucleotide_ids)[1]
        attention_mask = (input_ids != self.model.config.pad_token_id).long()
        if not getattr(self.tokenizer, "is_partial", False):
            return self._outputs(input_ids, attention_mask)
        missing = (input_ids < 0).any(dim=1)  # a sequence with a base without code: nothing of it is known
        outputs = self._outputs(input_ids.clamp(min=0), attention_mask)
        return tuple(
            output.masked_fill(missing.view(-1, *[1] * (output.ndim - 1)), float("nan")) for output in outputs
        )

    def _outputs(self, input_ids, attention_mask) -> tuple[torch.Tensor, ...]:
        outputs = self.model(input_ids=input_ids, attention_mask=attention_mask, return_dict=True)
        return tuple(outputs[name] for name in self.names)


@contextmanager
def exportable(model: VQDNAPreTrainedModel):
    """The model without what a graph cannot hold, for the time of the export."""
    encoder, config = model.base_model.encoder, model.config
    attention, strand_average = encoder.config._attn_implementation, config.strand_average
    # subtle: what the fused attention gives for padding that sees only padding is another number in each runtime
    encoder.set_attn_implementation("eager")
    config.strand_average = False  # `ModelGraph` averages: the model would need bases to do it
    try:
        yield
    finally:
        encoder.set_attn_implementation(attention)
        config.strand_average = strand_average


@contextmanager
def _quiet():
    """Without the exporter's notes to its own developers."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [each.level for each in loggers]
    try:
        for each in loggers:
            each.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for each, level in zip(loggers, levels):
            each.setLevel(level)


def write_graph(graph: nn.Module, inputs: dict, outputs: list[str], path: Path, opset: int, metadata: dict[str, str]):
    """Trace a graph on example inputs, all of shape `(batch, length)`, and write it.

    Raises:
        ValueError: the exporter gives up; says why.
    """
    # the bounds are for PyTorch 2.8, which counts elements in 32 bits; they are not written
    free = {0: torch.export.Dim("batch", max=1 << 15), 1: torch.export.Dim("length", max=1 << 24)}
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                graph.eval(),
                tuple(inputs.values()),
                dynamo=True,
                dynamic_shapes=(free,) * len(inputs),
                input_names=list(inputs),
                output_names=outputs,
                opset_version=opset,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().split("\n")[0]
        raise ValueError(
            f"PyTorch {torch.__version__} cannot make {path.name} ({reason}). Nothing was written. Other versions of "
            "torch and onnxscript, or another --opset, may do better."
        ) from error
    written = program.model
    written.producer_name, written.producer_version = "vqdna-hf", __version__
    written.metadata_props.clear()
    written.metadata_props.update({"package": f"vqdna-hf {__version__}", **metadata})
    # PyTorch's notes, with the paths of this machine in them
    values = [*written.graph.inputs, *written.graph.initializers.values()]
    for node in written.graph:
        values += node.outputs
    for noted in (written.graph, *written.graph, *values):
        noted.metadata_props.clear()
    program.save(path)
