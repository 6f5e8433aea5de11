"""The model card of exported weights: a page in the form that Hugging Face reads, drawn from the weights' own card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from auricle.about import FEWEST_POSITIVE
from auricle.age import describe
from auricle.data.sources import licence_of, list_sources
from auricle.disclaimer import RESEARCH_USE
from auricle.export.graph import Graph, Port
from auricle.predict import Predictor

TAGS: Final = ("ecg", "electrocardiogram", "cardiology", "medical", "onnx", "onnxruntime", "research-use")
# A licence that nobody has named, as the hub spells it.
UNKNOWN_LICENCE: Final = "unknown"
_EXAMPLE: Final = """```python
import json
from pathlib import Path
import numpy as np
import onnxruntime

config = json.loads(Path("config.json").read_text())
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
signal = np.load("ecg.npy")[None].astype(np.float32)  # (1, lead, time): millivolts, NaN where missing
feed = {{"signal": signal, "lead_mask": np.isfinite(signal).any(2), "time_mask": np.isfinite(signal).any(1)}}
{more}answers = dict(zip([port["name"] for port in config["outputs"]], session.run(None, feed)))
print({shown})
```"""


def interval(value: float, low: float, high: float) -> str:
    """A share in per cent with its interval."""
    return f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def auroc_of(test: Mapping[str, Any], name: str) -> str:
    """AUROC of a class in a test, its interval, and how many people had it; a dash with too few of them."""
    n = test.get("positive", {}).get(name, 0)
    if n < FEWEST_POSITIVE or name not in test["auroc"]:
        return "–"
    known = test.get("interval", {}).get(name)
    value = test["auroc"][name]
    return f"{interval(value, *known) if known else f'{100 * value:.1f}'} ({n})"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers_from: int = 99) -> str:
    """A Markdown table; columns from `numbers_from` on are set to the right."""
    lines = [["---:" if column >= numbers_from else "---" for column in range(len(heads))], *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [list(heads), *lines])


def model_card(
    name: str, card: Mapping[str, Any], answers: Predictor | None, graph: Graph, licence: str, files: Mapping[str, str]
) -> str:
    """The page.

    Args:
        name: of the weights, its title.
        card: what lies with the weights as `auricle.json`.
        answers: what asks the weights; None where they embed alone.
        graph: what was exported.
        licence: of the weights, as the hub spells it; `UNKNOWN_LICENCE` where nobody said.
        files: what each file of the folder is.
    """
    about = card["about"]
    parts = [
        _front_matter(licence),
        f"# {name}",
        f"**{RESEARCH_USE}** Made by `auricle export` of auricle {card['auricle']} weights.",
        _what(card, graph),
        table(["file", "what it is"], [[f"`{file}`", what] for file, what in files.items()]),
        "## How to ask",
        _example(graph),
        "With auricle, which also judges the trace and refuses what it cannot answer for: "
        '`auricle.Predictor.from_pretrained("FOLDER")`.',
        "## What goes in and comes out",
        _ports("input", graph.inputs),
        _ports("output", graph.outputs),
        _conventions(graph),
        "## What it learned from",
        "\n".join(f"* {line}" for line in _learned(about, answers)),
        "\n".join(f"* {line}" for line in _licences(about, licence)),
        "## How it was tested",
        *_tested(about, answers),
        "## What it is not",
        "\n".join(f"* {line}" for line in _limits(about, answers)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(licence: str) -> str:
    lines = ["---", f"license: {licence}", "library_name: auricle", "tags:", *(f"- {tag}" for tag in TAGS), "---"]
    return "\n".join(lines)


def _what(card: Mapping[str, Any], graph: Graph) -> str:
    spec, encoder = graph.spec, graph.method.encoder.config.name
    low, high = spec.band_hz
    at = "" if graph.rate_hz == spec.rate_hz else f" The graph takes {graph.rate_hz:g} Hz and resamples inside."
    return (
        f"Method `{card['method']}`, encoder `{encoder}`, {card['n_parameters'] / 1e6:.2f} M parameters. "
        f"Reads {', '.join(spec.read)}, any of which may be absent, at {spec.rate_hz:g} Hz in windows of "
        f"{spec.seconds:g} s, {low:g} to {high:g} Hz.{at}"
    )


def _example(graph: Graph) -> str:
    unknown = [port for port in graph.inputs if port.dtype == "float32" and port.name != "signal"]
    more = [f'feed["{port.name}"] = np.full({(1, *port.shape[1:])}, np.nan, np.float32)' for port in unknown]
    more = [line + ("  # unknown; or np.array([3.5], np.float32)" if '"age_days"' in line else "") for line in more]
    first = graph.outputs[0].name
    shown = f'answers["{first}"]'
    if graph.answers is not None:
        shown = f'dict(zip(config["classes"], {shown}[0].round(3).tolist()))'
    return _EXAMPLE.format(more="".join(f"{line}\n" for line in more), shown=shown)


def _ports(kind: str, ports: Sequence[Port]) -> str:
    rows = [[f"`{port.name}`", port.dtype, f"({', '.join(map(str, port.shape))})", port.meaning] for port in ports]
    return table([kind, "type", "shape", "what it holds"], rows)


def _conventions(graph: Graph) -> str:
    outputs = {port.name for port in graph.outputs}
    said = [
        "Preprocessing is inside: missing samples, high-pass, change of rate, low-pass, scale. "
        f"Shorter recordings are padded to {graph.n_samples} samples, with `time_mask` false there. "
        "Longer ones are cut into windows side by side, the last one ending with the recording, one window a row; "
        "leave out those in which no lead has half of its samples."
    ]
    if "logits" in outputs:
        back = "softmax" if graph.is_one_of_all else "the logistic function"
        said.append(f"The answer of several windows is {back} of the mean of their `logits`.")
    elif "similarities" in outputs:
        said.append("The answer of several windows is the mean of their `similarities`.")
    if any(port.name == "age_days" for port in graph.inputs):
        said.append("An age is in days, 3.5 or 12053; what is unknown is NaN, never 0, which is a newborn.")
    return " ".join(said)


def _learned(about: Mapping[str, Any], answers: Predictor | None) -> list[str]:
    if answers is not None:
        return answers.knows("en")
    if not about.get("source"):
        return ["The weights do not say what they learned from."]
    return [
        f"Learned from {about.get('n_records', 'an unknown number of')} recordings of {about['source']}; not tested."
    ]


def _sources(about: Mapping[str, Any] | None) -> Iterator[str]:
    """The data sets of these weights and of those they started from."""
    while about:
        yield from str(about.get("source") or "").split(" + ")
        about = about.get("donor")


def _licences(about: Mapping[str, Any], licence: str) -> list[str]:
    own = "not said by whoever exported them" if licence == UNKNOWN_LICENCE else licence
    known = [name for name in dict.fromkeys(_sources(about)) if name in list_sources() and name != "simulated"]
    return [
        f"Licence of the weights: {own}.",
        *(f"Licence of `{name}`: {licence_of(name) or 'its owner’s'}." for name in known),
    ]


def _tested(about: Mapping[str, Any], answers: Predictor | None) -> list[str]:
    if answers is None:
        return ["An embedding has no test of its own."]
    by_sentences = answers.kind == "similarity"
    tests = [test for test in about.get("tests", ()) if (test["protocol"] == "zero_shot") == by_sentences]
    if not tests:
        return ["It was not tested, as far as the weights say."]
    people = []
    for test in tests:
        ages = " to ".join(describe(days) for days in test["age_days"]) if test.get("age_days") else "unknown"
        macro = test.get("macro")
        mean = interval(*(macro[key] for key in ("value", "low", "high"))) if macro else "–"
        people.append(
            [f"{test['source']} (`{test['task']}`)", str(test["n_records"]), ages, str(len(test["auroc"])), mean]
        )
    titles, calibrated = answers.titles(), {one["class"]: one for one in about.get("calibrated", ())}
    rows = []
    for name in answers.classes:
        one = calibrated.get(name) if answers.kind == "probability" else None
        on = f"{one['source']} ({one['positive']} with it)" if one else "–"
        rows.append([name, titles.get(name, ""), *(auroc_of(test, name) for test in tests), on])
    return [
        table(["test", "recordings", "ages", "classes", "mean AUROC"], people, 1),
        "AUROC in per cent with the 95 % interval of a bootstrap over patients, in brackets how many had it; a dash "
        f"where fewer than {FEWEST_POSITIVE} had.",
        table(["class", "in words", *(test["source"] for test in tests), "calibrated on"], rows),
    ]


def _limits(about: Mapping[str, Any], answers: Predictor | None) -> list[str]:
    said = [
        f"{RESEARCH_USE}",
        "Not in the graph: whether the trace can be read at all, and whether the recording and its age are like what "
        "the weights know. `auricle.Predictor` refuses such recordings; whoever runs the graph alone has to.",
        "It does not know when a unit or the name of a lead is wrong.",
    ]
    if answers is not None:
        on = [kind for kinds in answers.tested.values() for kind in kinds]
        counts = {kind: on.count(kind) for kind in ("real_adults", "real_children", "simulated")}
        told = ", ".join(f"{kind.replace('_', ' ')}: {n or 'no'} classes" for kind, n in counts.items())
        said.append(f"Tested on ({FEWEST_POSITIVE} people with the class at least): {told}.")
        if not counts["real_children"]:
            said.append("No class was tested on real children.")
        if about.get("calibrated"):
            said.append("Probabilities hold for the frequencies of those they were calibrated on, not for a clinic's.")
    return said
