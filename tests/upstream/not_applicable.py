"""What of transformers' common tests does not apply to our classes, and why."""

# the reason -> what such a test fails with, as a regular expression, and the tests, as `Class.test` with wildcards
NOT_APPLICABLE = {
    "the vocabulary is learned: the encoder's own table holds the special tokens alone": (
        r"IndexError: index out of range",
        ["*_VQDNA[FM]*.test_inputs_embeds", "*_VQDNAModel.test_inputs_embeds_matches_input_ids"],
    ),
    "the vocabulary is learned: it has a size for each codec, and is never resized": (
        r"cannot be resized|'vocab_size' of 'VQDNAConfig' object has no setter",
        [
            "*_VQDNA[FM]*.test_resize_tokens_embeddings",
            "*_VQDNAForSequenceClassification.test_load_with_mismatched_shapes",
        ],
    ),
    "the vocabulary is learned: no token can be added": (
        r"ValueError: (Cannot add|\w+_token cannot become)",
        [
            "*TokenizerTest.test_bos_token_with_add_bos_token_*",
            "CodeTokenizerTest.test_get_vocab",
            "*TokenizerTest.test_save_and_load_tokenizer",
            "*TokenizerTest.test_tokenize_special_tokens",
            "*TokenizerTest.test_tokenizers_common_ids_setters",
        ],
    ),
    "the vocabulary is learned: special tokens have their ids": (
        r"sep_token_id=0 is not one of 3",
        ["*_VQDNA[FM]*.test_model_forward_default_config_values"],
    ),
    "the weights of the file are overwritten, which the vocabulary's fingerprint does not let pass": (
        r"was saved with the vocabulary",
        ["*_VQDNA[FM]*.test_model_weights_reload_no_missing_tied_weights"],
    ),
    "codebooks are buffers that begin at random, where two drawings are compared": (
        r"(`embedding(_sum)?` in module `EMACodebook` called from `VQDNACodecPreTrainedModel`\s*){2}$",
        ["*.test_init_weights_can_init_buffers"],
    ),
    "the codec has no table of embeddings": (
        r"`get_input_embeddings` not auto",
        ["*_VQDNACodecModel.test_model_get_set_embeddings", "*_VQDNACodecModel.test_resize_tokens_embeddings"],
    ),
    "the codec gives codes and logits, no hidden states": (
        r"'VQDNACodecOutput' object has no attribute 'hidden_states'",
        [
            "*_VQDNACodecModel.test_hidden_states_output",
            "*_VQDNACodecModel.test_retain_grad_hidden_states_attentions",
        ],
    ),
    "counts, usage and perplexity of codes are of the batch as a whole": (
        r"not equal in VQDNACodecModel for key=(counts|usage|perplexity)",
        ["*_VQDNACodecModel.test_batching_equivalence"],
    ),
    "trains with the inputs as labels, one for each position, as language models do": (
        r"has no attribute 'loss'|Expected input batch_size|Target \d+ is out of bounds|labels hold \d+ at position",
        ["*_VQDNAModel.test_training_overfit", "*Classification.test_training_overfit"],
    ),
    "trains on `input_ids` alone, which the codec does not take": (
        r"Unknown modality",
        ["*_VQDNACodecModel.test_training_overfit"],
    ),
    "the network's files are no settings, and neither `precision` nor `compile` is saved": (
        r"'codec_file' not found in",
        ["*TokenizerTest.test_tokenizer_store_full_signature"],
    ),
    "a sequence in words is joined, so that a pair of them has no meaning": (
        r"`is_split_into_words`",
        ["*TokenizerTest.test_pretokenized_inputs"],
    ),
    "reads `input_ids`, where this tokenizer gives `nucleotide_ids`": (
        r"KeyError: 'input_ids'|^AttributeError$|includes nucleotide_ids, but|^AssertionError: False is not true$",
        [
            "NucleotideTokenizerTest.test_batch_encode_plus_*",
            "NucleotideTokenizerTest.test_chat_template",
            "NucleotideTokenizerTest.test_empty_input_string",
            "NucleotideTokenizerTest.test_encode_plus_with_padding_*",
            "NucleotideTokenizerTest.test_model_input_names_signature",
            "NucleotideTokenizerTest.test_pad_token_initialization",
            "NucleotideTokenizerTest.test_maximum_encoding_length_single_input",
            "NucleotideTokenizerTest.test_padding_with_attention_mask",
            "NucleotideTokenizerTest.test_special_tokens_mask",
        ],
    ),
    "its vocabulary and `pad_token_id` stay those of the codes, which the model's configuration has": (
        r"IndexError: 9 is no nucleotide id|Lists differ: \[6, .* 0\] != \[6, .* 8\]",
        ["NucleotideTokenizerTest.test_encode_basic_padding", "NucleotideTokenizerTest.test_get_vocab"],
    ),
    "labels are code ids": (
        r"ValueError: text_target needs code ids",
        ["NucleotideTokenizerTest.test_prepare_seq2seq_batch"],
    ),
    "what is cut off becomes windows, as with fast tokenizers": (
        r"KeyError: 'overflowing_tokens'",
        ["CodeTokenizerTest.test_maximum_encoding_length_*"],
    ),
    "nucleotide ids cannot hold a pair: a codec would see one sequence": (
        r"is a pair, but nucleotide ids cannot hold one",
        [
            "NucleotideTokenizerTest.test_call",
            "NucleotideTokenizerTest.test_mask_output",
            "NucleotideTokenizerTest.test_maximum_encoding_length_pair_input",
            "NucleotideTokenizerTest.test_number_of_added_tokens",
            "NucleotideTokenizerTest.test_special_tokens_mask_input_pairs",
        ],
    ),
}

# why tests leave themselves out, as regular expressions of what they say
OWN_SKIPS = [
    # for other machines
    r"test requires (multiple )?(accelerator|deepspeed|MPS|Flash Attention|the kernels library)",
    r"test is slow",  # each of them needs an accelerator as well
    # for other models
    r"test requires (vision|Timm|PyTesseract|av)",
    r"is not in `self.pipeline_model_mapping`",
    r"`run_pipeline_test` is currently not implemented",
    r"(T|t)his model is not composite",
    r"does not have both a non-text modality tower and a language sub-model",
    r"does not support SDPA",  # as it says of models that are not composite
    r"does not support grouped_mm|has no sparse experts|has no `output_router_logits`",
    r"No (sequence-to-sequence|decoder-only) language modeling head|Do not take a cache as input",
    r"does not have position embeddings",
    r"does not have a TP plan",
    r"No conversion found for",
    # they look for it in the configuration itself, not in the encoder's
    r"does not (have RoPE|support RoPE scaling|support sliding window mask)|has no axial RoPE layer",
    r"has no `base_model_class` defined",
    r"does not support output_attentions",  # under SDPA they are refused
    # of the codec
    r"does not (support|output) attentions",
    r"doesn't use `inputs_embeds`",
    r"Cannot capture hidden states",
    r"No usage of the `capture_outputs` decorator",
    r"No subconfigs",
    r"No model with a differentiable loss",
    # of the tokenizer
    r"doesn't accept chat templates",  # as an argument of its own
    r"No integration expected tokens",
    r"Tokenizers backend tokenizer",
]
