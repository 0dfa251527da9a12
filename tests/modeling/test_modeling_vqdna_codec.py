"""The codec as a model: outputs, losses, gradients, saving and loading, precisions, the fingerprint, and learning."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vqdna_hf import VQDNACodecConfig, VQDNACodecModel
from vqdna_hf.modeling.nucleotides_vqdna import mask_bases


KINDS = {"vq": [16], "rq": [8, 8], "hrq": [8, 16]}


def make_codec(kind: str = "hrq", **overrides) -> VQDNACodecModel:
    fields = {"quantizer": kind, "codebook_sizes": KINDS[kind], **overrides}
    return VQDNACodecModel(VQDNACodecConfig.from_preset("tiny", **fields))


def tensors_of(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same_tensors(left: dict, right: dict):
    assert left.keys() == right.keys()
    for name in left:
        assert left[name].dtype == right[name].dtype and torch.equal(left[name], right[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_encode_gives_one_code_per_base_and_level(kind):
    model, ids = make_codec(kind).eval(), torch.randint(6, (3, 40))
    codes = model.encode(ids)
    assert codes.shape == (3, 40, len(KINDS[kind])) and codes.dtype == torch.int64
    for level, size in enumerate(KINDS[kind]):
        assert 0 <= codes[..., level].min() and codes[..., level].max() < size
    assert model.encode(ids[:, :1]).shape == (3, 1, len(KINDS[kind]))
    assert torch.equal(model.train().encode(ids), codes)


@pytest.mark.parametrize("kind", KINDS)
def test_forward_outputs(kind):
    model, ids = make_codec(kind).eval(), torch.randint(5, (3, 40))
    ids[1, 30:] = 8
    output = model(ids)
    inside, known = ids < 6, ids < 4
    assert output.logits.shape == (3, 40, 4) and output.codes.shape == (3, 40, len(KINDS[kind]))
    assert torch.equal(output.codes * inside[..., None], model.encode(ids))
    expected = F.cross_entropy(output.logits[known], ids[known])
    torch.testing.assert_close(output.reconstruction_loss, expected)
    beta = {"vq": 0.5, "rq": 0.5, "hrq": 0.9}[kind]
    torch.testing.assert_close(output.loss, output.reconstruction_loss + beta * output.commitment_loss)
    torch.testing.assert_close(output.accuracy, (output.logits.argmax(-1)[known] == ids[known]).float().mean())
    assert torch.isnan(output.hidden_accuracy)  # nothing was masked
    for level, size in enumerate(KINDS[kind]):
        counts = torch.bincount(output.codes[inside & (ids != 4)][:, level], minlength=size).float()  # not of N
        assert torch.equal(output.counts[level], counts)
        assert float(output.usage[level]) == pytest.approx(float((counts > 0).float().mean()))
        assert 1 <= float(output.perplexity[level]) <= size
    as_tuple = model(ids, return_dict=False)
    assert isinstance(as_tuple, tuple) and torch.equal(as_tuple[0], output.loss)


def test_labels_are_what_is_reconstructed():
    model, clean = make_codec().eval(), torch.randint(4, (2, 30))
    hidden = clean.clone()
    hidden[:, ::3] = 5
    labels = clean.clone()
    labels[:, 1::3] = -100
    output = model(hidden, labels=labels)
    kept = labels >= 0
    torch.testing.assert_close(output.reconstruction_loss, F.cross_entropy(output.logits[kept], labels[kept]))
    right = output.logits.argmax(-1) == clean
    torch.testing.assert_close(output.hidden_accuracy, right[:, ::3].float().mean())
    torch.testing.assert_close(output.accuracy, right[kept].float().mean())


def test_a_code_names_the_word_around_it():
    """Position by position: the mean over the places of each word, unknown and absent ones counting 0."""
    torch.manual_seed(0)
    model, ids = make_codec(word_radius=2, word_weight=0.5).eval(), torch.randint(6, (2, 20))
    labels = ids.masked_fill(ids == 5, 1)
    ids[1, 15:] = labels[1, 15:] = 8
    output = model(ids, labels=labels)
    vectors, losses = model.quantizer.lookup(output.codes), []
    for row, column in ((labels >= 0) & (labels < 4)).nonzero().tolist():
        logits = model.word_head(vectors[row, column]).view(5, 4).log_softmax(-1)
        places = [column + shift for shift in range(-2, 3)]
        named = [
            -logits[n, labels[row, place]]
            for n, place in enumerate(places)
            if 0 <= place < 20 and labels[row, place] < 4
        ]
        losses.append(sum(named) / 5)
    torch.testing.assert_close(output.word_loss, torch.stack(losses).mean())
    expected = output.reconstruction_loss + 0.9 * output.commitment_loss + 0.5 * output.word_loss
    torch.testing.assert_close(output.loss, expected)
    assert make_codec()(ids).word_loss is None and make_codec().word_head is None


def test_a_codec_trained_with_words_is_saved_whole_and_loads(tmp_path):
    torch.manual_seed(0)
    model = make_codec(word_radius=1).train()
    model(torch.randint(4, (2, 30))).loss.backward()
    assert model.word_head.weight.grad.abs().max() > 0
    model.save_pretrained(tmp_path)
    loaded, report = VQDNACodecModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert_same_tensors(tensors_of(model), tensors_of(loaded))
    plain = make_codec()
    plain.load_state_dict({name: value for name, value in tensors_of(model).items() if "word_head" not in name})
    assert plain.fingerprint() == model.fingerprint()  # words decide no code


@pytest.mark.parametrize("radius", [0, 2])
def test_a_batch_without_a_known_base_has_a_loss(radius):
    output = make_codec(word_radius=radius).train()(torch.full((2, 9), 4))
    output.loss.backward()
    assert float(output.reconstruction_loss) == 0 and torch.isfinite(output.loss)
    empty = make_codec(word_radius=radius).train()(torch.full((2, 9), 8))
    assert empty.loss.item() == 0 and all(float(c.sum()) == 0 for c in empty.counts)


def test_mask_bases():
    ids = torch.randint(9, (50, 400))
    masked = mask_bases(ids, 0.25, torch.Generator().manual_seed(0))
    changed = masked != ids
    assert (masked[changed] == 5).all() and (ids[changed] < 4).all()
    assert float(changed[ids < 4].float().mean()) == pytest.approx(0.25, abs=0.015)
    assert torch.equal(mask_bases(ids, 0.25, torch.Generator().manual_seed(0)), masked)
    assert torch.equal(mask_bases(ids, 0.0), ids)


def test_mask_ratio_masks_while_training_only():
    model, ids = make_codec(mask_ratio=0.5), torch.randint(4, (4, 100))
    assert torch.isnan(model.eval()(ids).hidden_accuracy)
    seen = []
    model.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    output = model.train()(ids)
    assert float((seen[0] == 5).float().mean()) == pytest.approx(0.5, abs=0.1)
    assert not torch.isnan(output.hidden_accuracy)
    torch.testing.assert_close(output.reconstruction_loss, F.cross_entropy(output.logits.flatten(0, 1), ids.flatten()))


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_reaches_every_parameter(kind):
    model = make_codec(kind).train()
    model(torch.randint(4, (4, 60))).loss.backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert missing == []


@pytest.mark.parametrize("kind", KINDS)
def test_saving_and_loading_is_exact(kind, tmp_path):
    model, ids = make_codec(kind).train(), torch.randint(4, (8, 60))
    for _ in range(3):
        model(ids)  # let the buffers move
    model.save_pretrained(tmp_path)
    loaded = VQDNACodecModel.from_pretrained(tmp_path)
    assert_same_tensors(tensors_of(loaded), tensors_of(model))
    assert torch.equal(loaded.encode(ids), model.encode(ids)) and not loaded.training
    assert loaded.fingerprint() == model.fingerprint()
    loaded.train()(ids)
    model(ids)
    assert_same_tensors(tensors_of(loaded), tensors_of(model))  # the next step too


def test_a_model_made_on_meta_is_initialized_completely():
    config = VQDNACodecConfig.from_preset("small", num_hidden_layers=2)
    with torch.device("meta"):
        model = VQDNACodecModel(config)
    model.to_empty(device="cpu")
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data.fill_(77)  # what `to_empty` leaves is arbitrary
        tensor._is_hf_initialized = False
    for module in model.modules():
        module._is_hf_initialized = False
    model.init_weights()
    plain = VQDNACodecModel(config)
    for (name, buffer), (_, other) in zip(model.named_buffers(), plain.named_buffers(), strict=True):
        assert buffer.dtype == other.dtype and torch.isfinite(buffer).all(), name
        if name.endswith(("embedding", "embedding_sum")):
            assert float(buffer.std()) == pytest.approx(1, abs=0.05) and abs(float(buffer.mean())) < 0.05, name
        else:
            assert torch.equal(buffer, other), name
    for (name, parameter), (_, other) in zip(model.named_parameters(), plain.named_parameters(), strict=True):
        assert parameter.std().item() == pytest.approx(other.std().item(), rel=0.25, abs=1e-6), name
    for book in model.quantizer.codebooks:
        torch.testing.assert_close(book.embedding_sum / book.smoothed_size()[:, None], book.embedding)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_codec_stays_float32_and_its_counters_integers(dtype, tmp_path):
    model = make_codec()
    model.quantizer.codebooks[0].num_updates.fill_(7)
    model.save_pretrained(tmp_path)
    loaded = VQDNACodecModel.from_pretrained(tmp_path, dtype=dtype)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    for name, buffer in loaded.named_buffers():
        assert torch.equal(buffer, model.state_dict()[name]), name
        assert buffer.dtype == (torch.int64 if name.endswith("num_updates") else torch.float32), name
    made = VQDNACodecModel._from_config(model.config, dtype=dtype)
    assert {b.dtype for n, b in made.named_buffers() if not n.endswith("num_updates")} == {torch.float32}
    ids = torch.randint(4, (2, 30))
    assert torch.isfinite(loaded(ids).loss) and loaded.decode(loaded.encode(ids)).shape == (2, 30, 4)


def test_training_under_bf16_autocast_keeps_float32_codebooks():
    model, ids = make_codec().train(), torch.randint(4, (8, 60))
    before = tensors_of(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(ids)
    output.loss.backward()
    after = tensors_of(model)
    assert torch.isfinite(output.loss) and output.logits.dtype == torch.float32
    assert {value.dtype for value in after.values()} == {torch.float32, torch.int64}
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    assert not torch.equal(after["quantizer.codebooks.1.embedding"], before["quantizer.codebooks.1.embedding"])


def test_encode_ignores_autocast_and_matmul_precision():
    model, ids = make_codec(hidden_size=64, codebook_dim=32, stem_channels=64).eval(), torch.randint(4, (8, 200))
    codes = model.encode(ids)
    logits = model.decode(codes)
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(model.encode(ids), codes)
            assert torch.equal(model.decode(codes), logits)
        assert torch.get_float32_matmul_precision() == "medium"  # what the caller chose is left as it was
    finally:
        torch.set_float32_matmul_precision(precision)


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_activation_checkpointing_changes_nothing(kind, use_reentrant):
    plain, ids = make_codec(kind).train(), torch.randint(4, (8, 60))
    saving = copy.deepcopy(plain)
    # transformers 5.23 has a new name for it
    enable = getattr(saving, "activation_checkpointing_enable", None) or saving.gradient_checkpointing_enable
    enable({"use_reentrant": use_reentrant})
    assert all(block.gradient_checkpointing for block in (*saving.encoder.blocks, *saving.decoder.blocks))
    for model in (plain, saving):
        model(ids).loss.backward()
    assert_same_tensors(tensors_of(saving), tensors_of(plain))
    assert [int(book.num_updates) for book in saving.quantizer.codebooks] == [1] * len(KINDS[kind])
    for (name, a), (_, b) in zip(plain.named_parameters(), saving.named_parameters(), strict=True):
        # what is computed again is added up in another order: last digits of gradients as large as 0.3
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-6, msg=name)


def test_fingerprint_names_what_decides_a_code():
    model = make_codec()
    name = model.fingerprint()
    assert len(name) == 32 and set(name) <= set("0123456789abcdef")
    assert copy.deepcopy(model).double().fingerprint() == name  # of the values, wherever and however they are held
    kept = [
        lambda m: m.decoder.head.weight.data.add_(1),
        lambda m: m.decoder.blocks[0].depthwise.weight.data.add_(1),
        lambda m: m.quantizer.codebooks[0].cluster_size.add_(1),
        lambda m: m.quantizer.codebooks[0].embedding_sum.add_(1),
        lambda m: m.quantizer.codebooks[1].num_updates.add_(1),
        lambda m: setattr(m.config, "mask_ratio", 0.25),
        lambda m: setattr(m.config, "ema_decay", 0.5),
        lambda m: m.train(),
    ]
    changed = [
        lambda m: m.encoder.stem.weight.data[0, 0, 0].add_(1e-3),
        lambda m: m.encoder.blocks[1].contract.bias.data[3].add_(1e-6),
        lambda m: m.encoder.latent_projections[0].weight.data[0, 0].mul_(1.001),
        lambda m: m.quantizer.codebooks[1].embedding[3, 2].add_(1e-3),
        lambda m: m.quantizer.codebooks[0].embedding.copy_(m.quantizer.codebooks[0].embedding.flip(0)),
        lambda m: setattr(m.config, "layer_norm_eps", 1e-5),
        lambda m: setattr(m.config, "quantizer", "rq"),
    ]
    for edit in kept + changed:
        other = copy.deepcopy(model)
        edit(other)
        assert (other.fingerprint() == name) == (edit in kept)


def test_fingerprint_is_that_of_any_machine():
    """Fixed weights have a fixed name; it would change with the byte order, or the order of the tensors."""
    model = make_codec("vq")
    for n, tensor in enumerate((*model.encoder.parameters(), model.quantizer.codebooks[0].embedding)):
        tensor.data.copy_(torch.arange(tensor.numel()).view(tensor.shape) / 8 - n)
    assert model.fingerprint() == "15ef0ccc92b30e0949a3c05252bbbac9"


def planted_dna(words: torch.Tensor, batch: int, length: int) -> torch.Tensor:
    """Random bases, half of them covered by 6-mers of a short list."""
    ids = torch.randint(4, (batch, length))
    for start in range(0, length - 6, 12):
        ids[:, start : start + 6] = words[torch.randint(len(words), (batch,))]
    return ids


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_training_reconstructs_and_uses_the_codes(kind):
    model, words = make_codec(kind).train(), torch.randint(4, (8, 6))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01)
    first = float(model.eval()(planted_dna(words, 32, 96)).accuracy)
    model.train()
    for _ in range(120):
        optimizer.zero_grad()
        model(planted_dna(words, 12, 96)).loss.backward()
        optimizer.step()
    with torch.no_grad():
        output = model.eval()(planted_dna(words, 32, 96))
    assert first < 0.6 and float(output.accuracy) > 0.95
    assert (output.usage > 0.5).all()


def test_eval_leaves_every_tensor_alone():
    model, ids = make_codec().eval(), torch.randint(4, (8, 60))
    before = tensors_of(model)
    model(ids)
    model.train().encode(ids)
    model.decode(model.encode(ids))
    model.encode_sequences([np.zeros(50, dtype=np.uint8)])
    assert_same_tensors(tensors_of(model), before)


def test_unknown_bases_train_no_code():
    model = make_codec("vq").train()
    before = model.quantizer.codebooks[0].embedding.clone()
    output = model(torch.full((4, 30), 4))
    torch.testing.assert_close(model.quantizer.codebooks[0].embedding, before)
    assert float(output.commitment_loss) == 0 and output.counts[0].sum() == 0


def test_codes_are_exact_under_the_new_precision_switches():
    model, ids = make_codec("hrq").eval(), torch.randint(4, (2, 40))
    codes, old = model.encode(ids), getattr(torch.backends, "fp32_precision", None)
    if old is None:
        pytest.skip("this PyTorch has the older precision settings only")
    try:
        torch.backends.fp32_precision = "tf32"
        assert torch.equal(model.encode(ids), codes)
        assert torch.backends.fp32_precision == "tf32"
    finally:
        torch.backends.fp32_precision = old
