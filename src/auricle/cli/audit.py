"""auricle audit: how a model does at each age, and at which ages it should not be asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auricle.cli.recordings import ExecutorOption, WorkersOption
from auricle.cli.stop import keeps
from auricle.errors import ConfigError
from auricle.progress import stage

if TYPE_CHECKING:
    from auricle.over_age import AnswerSets

_TABLES = (".csv", ".parquet")
_JSON, _PAGE = "audit.json", "audit.html"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("audit")(audit)


def audit(
    model: Annotated[
        str,
        typer.Argument(
            help="lisa-nano, a run folder or saved weights; a folder of `auricle export`; module:function of your own; "
            "or a table of scores (.csv, .parquet), without DATA.",
            show_default=False,
        ),
    ],
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            help="A store (its test part is asked), a manifest with ages and labels, recordings or folders of them.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for audit.html, audit.json and the scores.")] = Path("audit"),
    task: Annotated[
        str | None, typer.Option(help="Task id or a TOML file of your own; by default the one of the weights.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Call every class from this score on, instead of choosing thresholds.")
    ] = None,
    specificity: Annotated[
        float,
        typer.Option(help="Of the thresholds, chosen on half of the patients; the other half is reported.", min=0.01),
    ] = 0.9,
    margin: Annotated[float, typer.Option(help="How much worse than over all ages is too much.", min=0.0)] = 0.1,
    bootstrap: Annotated[int, typer.Option(help="Replicates of the intervals over patients.", min=20)] = 500,
    workers: WorkersOption = None,
    executor: ExecutorOption = None,
) -> None:
    """Ask how a model does at each age, and at which ages it should not be asked. Research use, not a diagnosis."""
    from auricle.atomic import write_json
    from auricle.audit.ask import ask
    from auricle.audit.page import audit_page
    from auricle.audit.report import printed, to_dict
    from auricle.audit.run import audit_scores, check_levels
    from auricle.audit.scores import read_scores
    from auricle.cli.output import write_page

    check_levels(threshold, specificity)
    learned_from: Sequence[str] = ()
    sets: AnswerSets | None = None
    if data:
        keeps(f"the scores that were made are kept in {out}; the same command goes on")
        asked = ask(model, data, task, out, workers=workers or 1, executor=executor)
        if asked.n_before:
            typer.echo(f"{asked.n_before} recordings had been asked before", err=True)
        scores, question, sets = asked.scores, asked.task, asked.model.sets
        name, is_probability, learned_from = asked.model.name, asked.model.is_probability, asked.model.sources
    else:
        if Path(model).suffix.casefold() not in _TABLES:
            raise ConfigError(f"{model}: give the records to ask it about (a store, a manifest, a folder), or scores")
        scores, name, question, is_probability = Path(model), Path(model).stem, task or "a table of scores", True
    scored = read_scores(scores, question, name, is_probability)
    with stage("intervals over age"):
        found = audit_scores(
            scored, threshold=threshold, specificity=specificity, margin=margin, n_bootstrap=bootstrap,
            learned_from=learned_from, sets=sets,
        )  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / _JSON, to_dict(found))
    given = " ".join([Path(model).name if Path(model).exists() else model, *(path.name for path in data or ())])
    write_page("--out", out / _PAGE, lambda: audit_page(found, f"auricle audit {given}"))
    for line in [*printed(found), str(out / _PAGE)]:
        typer.echo(line)
