"""Model cards that transformers and peft generate: whether one is as it was made, or somebody has written in it."""

import re

from huggingface_hub import ModelCard, ModelCardData


# keys that they set; any other, such as a licence, is somebody's word
_KEYS = {"library_name", "tags", "base_model", "pipeline_tag", "metrics", "model-index"}
_GENERATED_BY_PUSHING = "This is the model card of a 🤗 transformers model that has been pushed on the Hub."
_NOTHING = r"More information needed\n\n"
_ITEMS = r"(?:- [^\n]*\n)*"
# subtle: without free text between its parts, so that a sentence anywhere makes the card somebody's
_OF_A_TRAINER = re.compile(
    r"<!-- This model card has been generated automatically [^>]* remove this comment\. -->\n+"
    r"# [^\n]*\n+"
    r"This model (?:was trained from scratch|is a fine-tuned version of \[[^\n\]]*\]\([^\n)]*\)) on "
    r"(?:an unknown dataset|(?:(?:, | and )?the \S+?)+ datasets?)\.\n"
    rf"(?:It achieves the following results on the evaluation set:\n{_ITEMS})?\n*"
    rf"## Model description\n\n{_NOTHING}## Intended uses & limitations\n\n{_NOTHING}"
    rf"## Training and evaluation data\n\n{_NOTHING}## Training procedure\n+"
    r"### Training hyperparameters\n+"
    rf"(?:The following hyperparameters were used during training:\n{_ITEMS}|{_NOTHING})\n*"
    r"(?:### Training results\n+(?:\|[^\n]*\|\n)*\n*)?"
    r"### Framework versions\n+(?:- (?:PEFT|Transformers|Pytorch|Datasets|Tokenizers) [^\n ]*\n+)*"
)


def is_generated(text: str) -> bool:
    """Whether a card is one of transformers or peft, and nobody has changed it."""
    card = _parsed(text)
    if card is None or set(card.data.to_dict()) - _KEYS:
        return False
    body = card.text.strip() + "\n"
    return bool(_OF_A_TRAINER.fullmatch(body)) or _lines(body) == _lines(ModelCard.from_template(ModelCardData()).text)


def _lines(body: str) -> list[str]:
    """The lines of a card from the Hub's template, without those that transformers and peft add."""
    lines = [line.strip() for line in body.splitlines() if line.strip()]
    added = ("### Framework versions", "- PEFT ", _GENERATED_BY_PUSHING)
    return [line for line in lines if not line.startswith(added)]


def has_same_text(text: str, before: str) -> bool:
    """Whether two cards differ in their metadata at most."""
    card, old = _parsed(text), _parsed(before)
    return card is not None and old is not None and card.text.strip() == old.text.strip()


def adds_tags_only(text: str, before: str) -> bool:
    """Whether a card differs from the one before by further tags, as `push_to_hub(tags=...)` adds them."""
    if not has_same_text(text, before):
        return False
    card, old = _parsed(text), _parsed(before)
    fields, old_fields = card.data.to_dict(), old.data.to_dict()
    tags, old_tags = fields.pop("tags", None) or [], old_fields.pop("tags", None) or []
    return fields == old_fields and set(tags) > set(old_tags)


def with_tags_of(card: ModelCard, text: str) -> ModelCard:
    """A card with the tags of a generated one behind its own: some of them were asked for."""
    other = _parsed(text)
    for tag in (other.data.tags or []) if other is not None else []:
        if tag not in card.data.tags:
            card.data.tags.append(tag)
    return card


def _parsed(text: str) -> ModelCard | None:
    try:
        return ModelCard(text, ignore_metadata_errors=True)
    except Exception:  # what cannot be read was not generated; yaml and hub raise what they like
        return None
