"""The report in words: what to take from it, and what each figure shows."""

from .labels import STABLE


# agreement beyond chance (kappa) of labels from halves of the rows, below which labels are called noise, or unsure
_NOISE, _SURE = 0.2, 0.6
# share of changed codes from which on a changed base counts as read
_READS = 0.1
# how much better than shuffled among equal bases a partner on the other strand must be foretold
_FORETOLD = 0.1
_SHORTCUTS = {
    "majority": "the commonest class",
    "length": "length alone",
    "composition": "the shares of A, C, G and T",
    "3-mers": "the shares of 3-mers",
}
_METRICS = {"mcc": "MCC", "f1": "Macro-F1", "accuracy": "Accuracy"}


def findings(report: dict) -> list[tuple[str, str]]:
    """Headline and sentence of each finding, the sobering ones included."""
    found = [_classifier(report), _labels(report), _map(report), _word(report), _usage(report), _strand(report)]
    return found + ([_ceiling(report)] if report["data"]["best_possible"]["test"]["shared_rows"] else [])


def shortcut_name(name: str) -> str:
    return _SHORTCUTS[name]


def metric_name(report: dict) -> str:
    return _METRICS.get(report["data"]["metric"], report["data"]["metric"])


def at_chance(report: dict) -> bool:
    """Whether permuted classes do as well on test as the classes themselves."""
    classifier = report["relevance"]["classifier"]
    return classifier["test"][classifier["metric"]] <= max(classifier["permuted_test"])


def label_verdict(report: dict) -> str:
    """`noise`, `unsure` or `reproducible`: by how far labels from two halves of the rows agree beyond chance.

    Labels of which no more are stable than with one of the permutations are noise too.
    """
    measured, permuted = (report["relevance"]["halves"][key] for key in ("measured", "permuted"))
    if measured["kappa"] < _NOISE or measured["stable"] <= permuted["most_stable"]:
        return "noise"
    return "unsure" if measured["kappa"] < _SURE else "reproducible"


def _classifier(report: dict) -> tuple[str, str]:
    classifier = report["relevance"]["classifier"]
    key, shortcuts = classifier["metric"], classifier["shortcuts"]
    dev, test, permuted = classifier["dev"][key], classifier["test"][key], classifier["permuted_test"]
    if at_chance(report):
        head = "The classifier behind the labels is at chance"
    elif test <= max(shortcuts.values()):
        head = f"The classifier behind the labels knows no more than {_SHORTCUTS[max(shortcuts, key=shortcuts.get)]}"
    else:
        head = "The classifier behind the labels does better than every control"
    text = (
        f"{metric_name(report)} {test:.3f} on test and {dev:.3f} on dev. Fitted on permuted classes it reaches "
        f"{sum(permuted) / len(permuted):.3f} on test ({min(permuted):.3f} to {max(permuted):.3f}). What needs no "
        f"codes: " + ", ".join(f"{_SHORTCUTS[name]} {score:.3f}" for name, score in shortcuts.items()) + ". The "
        f"shares of the codes, instead of the mean of their vectors, give {classifier['code_shares_test']:.3f}."
    )
    return head, text


def _labels(report: dict) -> tuple[str, str]:
    measured, permuted = (report["relevance"]["halves"][key] for key in ("measured", "permuted"))
    verdict = label_verdict(report)
    return (
        f"The labels of codes are {verdict}",
        f"Two halves of the rows give {measured['same']:.0%} of the codes the same label; chance alone would give "
        f"{measured['by_chance']:.0%} (kappa {measured['kappa']:.2f}; {permuted['kappa']:.2f} with permuted classes). "
        f"{measured['stable']:.0%} of the labels are stable; with permuted classes, {permuted['stable']:.0%} "
        f"({permuted['least_stable']:.0%} to {permuted['most_stable']:.0%}).",
    )


def _map(report: dict) -> tuple[str, str]:
    measured, permuted = (report["relevance"]["neighbours"][key] for key in ("measured", "permuted"))
    return (
        "Patches of one colour are no evidence by themselves",
        f"A code's nearest neighbours have its label in {measured['same']:.0%} of the cases, any two codes in "
        f"{measured['by_chance']:.0%}. Labels of permuted classes, which mean nothing, reach {permuted['same']:.0%} "
        f"(any two: {permuted['by_chance']:.0%}): a label is nearly a linear function of the code vector, so that "
        "colours form patches in any case.",
    )


def bases_read(level: dict) -> tuple[int, int] | None:
    """First and last base, from the code's position, whose change changes 10 % of the codes or more; None if none."""
    radius = level["radius"]
    # a code at offset o from the changed base reads a base at -o from its own position
    read = [radius - i for i, share in enumerate(level["by_offset"]) if share is not None and share >= _READS]
    return (min(read), max(read)) if read else None


def _word(report: dict) -> tuple[str, str]:
    levels = report["base_change"]["levels"]
    spans = [bases_read(level) for level in levels]
    lengths = [0 if span is None else span[1] - span[0] + 1 for span in spans]
    text = "; ".join(
        f"level {n} sees {2 * level['radius'] + 1} bases and reads "
        + ("none" if span is None else f"{length}, {_signed(span[0])} to {_signed(span[1])} from its position")
        for n, (level, span, length) in enumerate(zip(levels, spans, lengths), start=1)
    )
    changed = " and ".join(f"{level['codes_changed']:.1f}" for level in levels)
    return (
        f"A code is, in effect, a word of {_joined(lengths)} base{'' if set(lengths) == {1} else 's'}",
        f"Counting bases whose change changes the code in 10 % of the cases or more, {text}. One changed base changes "
        f"{changed} codes on average. {report['base_change']['compared_beyond']:,} codes beyond what a level sees "
        "were compared, and none changed.",
    )


def _joined(values: list) -> str:
    return " and ".join(str(value) for value in dict.fromkeys(values))


def _signed(value: int) -> str:
    return f"{value:+d}" if value else "0"


def _usage(report: dict) -> tuple[str, str]:
    levels, total = report["usage"]["levels"], 1
    for level in levels:
        total *= level["codes"]
    used = " and ".join(f"{level['used']} of {level['codes']}" for level in levels)
    even = " and ".join(f"{level['perplexity']:.0f}" for level in levels)
    text = f"They are as varied as {even} codes used equally often would be (perplexity)."
    if len(levels) > 1:
        text += (
            f" The levels together form {report['usage']['combinations']:,} of {total:,} combinations: the more the "
            "levels repeat each other, the fewer."
        )
    return f"{used} codes are used", text


def _strand(report: dict) -> tuple[str, str]:
    levels = report["strand"]["levels"]
    partners = {name: [level[name]["partner"] for level in levels] for name in levels[0]}
    gains = {
        name: max(a - b for a, b in zip(partners[name], partners["shuffled_within_base"]))
        for name in ("measured", "shifted")
    }
    shifts = _joined([_signed(level["shifted"]["shift"]) for level in levels])
    if gains["measured"] >= _FORETOLD:
        head = "A code foretells the code of its base on the other strand"
    elif gains["shifted"] >= _FORETOLD:
        head = "A code foretells the other strand's, but not at its own base"
    else:
        head = "A code says little about the other strand but its base"
    return (
        head,
        f"At the same base, the likeliest partner is right in {_percent(partners['measured'])} of the cases, against "
        f"{_percent(partners['shuffled_within_base'])} with the other strand shuffled among equal bases. Shifted by "
        f"{shifts} bases, where the strands agree best, it is right in {_percent(partners['shifted'])}.",
    )


def _ceiling(report: dict) -> tuple[str, str]:
    best = report["data"]["best_possible"]["test"]
    return (
        "Some rows no classifier can tell apart",
        f"{best['shared_rows']} of {best['rows']} test rows have a sequence that also stands in another class. On "
        f"test no classifier can exceed an accuracy of {best['accuracy']:.3f} or a macro-F1 of "
        f"{best['macro_f1_at_most']:.3f}; answers that know the labels reach {best['macro_f1_reached']:.3f}.",
    )


def _percent(values: list[float]) -> str:
    return " and ".join(f"{value:.1%}" for value in values)


# captions


def usage_caption(report: dict) -> str:
    levels = "; ".join(
        f"level {n}: {usage['used']} of {usage['codes']} codes ({usage['share_used']:.0%}), perplexity "
        f"{usage['perplexity']:.1f}"
        for n, usage in enumerate(report["usage"]["levels"], start=1)
    )
    return (
        f"How often each code stands at the {report['usage']['positions']:,} bases of the train rows, the most used "
        "code first, on a logarithmic scale. Dashed: the share if all codes were used equally often. Grey: codes "
        f"that are never used. {levels[0].upper()}{levels[1:]}."
    )


def map_caption(report: dict) -> str:
    places = report["map"]
    never = sum(label < 0 for label in places["labels"])
    others = {1: None, 2: "pale circles of the second"}.get(len(report["usage"]["levels"]), "pale marks of the others")
    shapes = f"pentagons are codes of the first level, {others}" if others else "a pentagon is a code"
    return (
        f"Left: the {len(places['labels'])} code vectors in two dimensions, by UMAP of all levels together "
        f"({places['neighbours']} neighbours); {shapes}. Only who is near whom means something: distances between "
        "groups and the axes do not. The colour is the class that the code is most relevant to, by Grad-CAM of a "
        "linear classifier on the mean code vector of a row, averaged over the code's occurrences in the train rows. "
        f"Filled: the label is stable, {STABLE:.0%} or more of {2 * report['arguments']['repeats']} classifiers, each "
        f"fitted on half of the rows, give it too. Rings: it is not. Small grey rings: the {never} codes that no "
        "train row uses, which have no label. Right: the same codes at the same places, labelled in the same way "
        "after the classes of the train rows were permuted, so that these colours mean nothing. What both sides "
        "share is not about the classes."
    )


def logos_caption(report: dict, level: int) -> str:
    halo, radius = report["vocabulary"]["halo"], report["vocabulary"]["radius"][level]
    bases = ", ".join(f"{base} {share:.1%}" for base, share in zip("ACGT", report["data"]["base_frequencies"]))
    shown = report["logos"]["levels"][level]
    share = sum(logo["uses"] for logo in shown) / report["usage"]["positions"]
    grey = f" Grey: bases out of sight of this level, which sees {radius} on either side." if radius < halo else ""
    return (
        f"The {len(shown)} most used codes of level {level + 1}, which stand at {share:.0%} of the positions. The "
        f"letters are the bases around all occurrences of a code in the train rows, {halo} on either side of its "
        f"position (0). Their height is information in bits, against the frequencies in the data ({bases}), with the "
        "small-sample correction. Above each logo: the number of the code, the share of the positions it stands at, "
        f"and the class it is labelled with.{grey}"
    )


def words_caption(report: dict) -> str:
    found = report["words"]
    whole = sum(found["together"]["bits"])
    return (
        "Mutual information of the code at a position and the base at each place around it, in train rows: 2 bits "
        "where the code alone tells the base, 0 where it tells nothing. Estimated from counts, less what independent "
        f"pairs would seem to share. All levels together tell {whole:.1f} bits about the {len(found['offsets'])} "
        "bases shown, counted one by one."
    )


def change_caption(report: dict) -> str:
    change = report["base_change"]
    near = "; ".join(
        f"level {n}: " + ", ".join("–" if share is None else f"{share:.1%}" for share in level["by_distance"][:4])
        for n, level in enumerate(change["levels"], start=1)
    )
    return (
        f"{change['substitutions']:,} bases of train rows, drawn at random, were each replaced by another base. Shown "
        "is the share of the codes that changed, by their place relative to the changed base: codes to the left of 0 "
        f"stand before it. At a distance of 0, 1, 2 and 3 bases, both sides together: {near}. Beyond the bases that a "
        "level sees no code may change at all, which was checked."
    )


def strand_caption(report: dict) -> str:
    return (
        "Every train row was encoded on both strands, and the code of each base paired with its code on the other "
        "strand. Left: the share of positions where the other strand's code is the one found most often with this "
        "code, learned on half of the rows and tested on the other half. Right: how much one tells about the other, "
        "0 for nothing and 1 for everything. Two controls: the other strand's codes in random order, and in random "
        "order among positions of the same base, which leaves what the base alone tells (A on one strand is T on the "
        "other). Last: the codes paired at the shift where the strands tell most about each other, because a code "
        "need not stand in the middle of the bases it reads."
    )
