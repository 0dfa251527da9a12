"""Model cards, rendered from a directory's own files: `vqdna card DIR`, and what every training run ends with."""

import hashlib
import logging
import re
from os import PathLike
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData

from ..arguments.publishing import CardArguments
from ..checkpoints import resolve_with_output
from ..runs.files import write_file
from ..runs.records import check_digests, renew_digests
from . import tables as card_tables
from .facts import CardFacts, read_facts
from .generated import is_generated
from .scores import TaskScores, dataset_name, join_results
from .snippets import auto_class, usage


logger = logging.getLogger(__name__)

TEMPLATE = Path(__file__).with_name("model_card_template.md.j2")
README = "README.md"
EDITED = (
    "README.md of %s was edited there and is kept; yours is not uploaded. To replace it: "
    "hf upload %s README.md README.md"
)
MARKER = "<!-- Rendered by `vqdna card` from the files beside it. Once edited, it is kept as it is. -->"
_SEALED = re.compile(re.escape(MARKER.removesuffix(" -->")) + r"(?: ([0-9a-f]{16}))? -->")
# lines that a paragraph of Markdown does not flow around
_OWN_LINE = re.compile(r"[|#>]|\* |```|<!--|---")
_PIPELINES = {
    "AutoModelForMaskedLM": "fill-mask",
    "AutoModelForSequenceClassification": "text-classification",
    "AutoModelForTokenClassification": "token-classification",
    "AutoModel": "feature-extraction",
}


def card(arguments: CardArguments) -> Path:
    """Write a directory's model card.

    Returns:
        The file written.

    Raises:
        ValueError: the directory holds nothing a card can be written for, the results do not belong together, or the
            file to write is there and was written by hand; or the weights are not those that the run recorded.
    """
    directory = resolve_with_output(arguments.directory, arguments.output)
    if arguments.renew_digests:
        if Path(directory) != Path(arguments.directory):
            raise ValueError(
                f"{arguments.directory} comes with the package, where nothing is written: leave out --renew-digests."
            )
        renew_digests(Path(directory))
    check_digests(Path(directory))
    path = write_model_card(directory, arguments.results, output=arguments.output)
    logger.info("The model card is in %s", path)
    return path


def write_model_card(
    directory: str | PathLike,
    results: list[str] | tuple[str, ...] = (),
    repo_id: str | None = None,
    *,
    records: dict[str, dict] | None = None,
    output: str | PathLike | None = None,
) -> Path:
    """Render a directory's card and write it as its README.md.

    Args:
        directory, results, repo_id, records: see `read_facts`.
        output: file to write instead.

    Returns:
        The file written.

    Raises:
        ValueError: as `render_model_card`; or there is a README.md already that was not rendered.
    """
    path = Path(directory) / "README.md" if output is None else Path(output)
    save_card(path, sealed(str(render_model_card(directory, results, repo_id, records=records))))
    return path


def sealed(text: str) -> str:
    """A rendered card with a digest of itself in its marker, by which an edited one is known."""
    text = text.rstrip() + "\n"
    return text.replace(MARKER, MARKER.replace(" -->", f" {_digest(text)} -->"))


def is_nobodys_words(text: str) -> bool:
    """Whether a README.md is empty, or a card as it was rendered here, or as peft or transformers made it."""
    found = _SEALED.search(text)
    if found is not None:
        return found.group(1) is None or found.group(1) == _digest(text.replace(found.group(), MARKER))
    return not text.strip() or is_generated(text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def save_card(path: Path, text: str):
    """Write a rendered card under another name first, then rename it.

    Raises:
        ValueError: the file is there and was written by hand.
    """
    if path.is_file() and not is_nobodys_words(path.read_text(encoding="utf-8", errors="replace")):
        raise ValueError(
            f"{path} was written or edited by hand, so it is not overwritten. Move it away, or write the card "
            "elsewhere with --output."
        )
    write_file(path, text.encode())


def write_card_of_run(directory: Path, records: dict[str, dict]):
    """Write the card of a run that is about to finish, or say why not.

    Args:
        records: the records the run writes after its card, by file name.
    """
    try:
        write_model_card(directory, records=records)
    except Exception as error:  # days of training must not be lost to a file that can be written again
        logger.warning("No model card was written in %s: %s: %s", directory, type(error).__name__, error)


def render_model_card(
    directory: str | PathLike,
    results: list[str] | tuple[str, ...] = (),
    repo_id: str | None = None,
    *,
    records: dict[str, dict] | None = None,
) -> ModelCard:
    """Render a directory's card from its own files.

    Args:
        directory, results, repo_id, records: see `read_facts`.

    Returns:
        The card; `card.data` is its metadata, `card.text` the rest.

    Raises:
        ValueError: the directory holds nothing a card can be written for, a result is of another vocabulary, or the
            results of one task come from different recipes.
    """
    facts = read_facts(directory, results, repo_id, records)
    scores = join_results(facts.results)
    auto = auto_class(facts)
    loads_alone = facts.kind != "probe" and "auto_map" in {**facts.config, **(facts.tokenizer or {})}
    rendered = ModelCard.from_template(
        card_data(facts, scores),
        template_path=str(TEMPLATE),
        marker=MARKER,
        facts=facts,
        task=next((f"`{dataset_name(row.task)}`" for row in scores if row.task == facts.result.get("task")), ""),
        classifies=auto in ("AutoModelForSequenceClassification", "AutoModelForTokenClassification"),
        per_base=auto == "AutoModelForTokenClassification",
        with_package=usage(facts),
        without_package=usage(facts, trust_remote_code=True) if loads_alone else "",
        vocabulary_table=card_tables.vocabulary_table(facts),
        level_table=card_tables.level_table(facts),
        vocabulary_recipe=card_tables.vocabulary_recipe(facts),
        encoder_recipe=card_tables.encoder_recipe(facts) if facts.kind not in ("vocabulary", "probe") else [],
        adapter_table=card_tables.adapter_table(facts),
        training_state=card_tables.training_state(facts),
        task_table=card_tables.task_table(scores),
        recipe_table=card_tables.recipe_table(scores),
        several_seeds=any(len(row.seeds) > 1 for row in scores),
        limitations=card_tables.limitations(facts, scores),
        count=card_tables.count,
        bases=card_tables.bases,
        percent=card_tables.percent,
    )
    rendered.text = _unwrap(rendered.text)
    return rendered


def _unwrap(text: str) -> str:
    """Put every paragraph on a line of its own: where the template breaks lines depends on the facts."""
    lines, in_code = [""], False
    for line in text.split("\n"):
        in_code ^= line.startswith("```")
        alone = in_code or not line or not lines[-1] or _OWN_LINE.match(line) or _OWN_LINE.match(lines[-1])
        if alone:
            lines.append(line)
        else:
            lines[-1] += f" {line}"
    return "\n".join(lines[1:])


def card_data(facts: CardFacts, scores: list[TaskScores]) -> ModelCardData:
    """The metadata of a card."""
    pipeline = _PIPELINES[auto_class(facts)] if facts.kind not in ("vocabulary", "probe") else None
    tags = ["biology", "dna", "genomics", "vqdna", *([pipeline] if pipeline else [])]
    tags += {"adapter": ["lora"], "vocabulary": ["tokenizer", "vector-quantization"], "probe": ["linear-probe"]}.get(
        facts.kind, []
    )
    # a probe is read by the package alone
    library = {"adapter": "peft", "probe": None}.get(facts.kind, "transformers")
    entries = [entry for row in (*scores, *facts.benchmarks) for entry in row.eval_results()]
    return ModelCardData(
        license="apache-2.0",
        library_name=library,
        pipeline_tag=pipeline,
        tags=tags,
        base_model=facts.base_model,
        datasets=facts.notes.get("datasets"),
        metrics=list(dict.fromkeys(entry.metric_type for entry in entries)) or None,
        eval_results=entries or None,
        model_name=facts.name.rpartition("/")[2] if entries else None,
    )
