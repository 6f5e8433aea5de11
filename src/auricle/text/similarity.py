"""The table of text pairs: similarities that a tower gives to reports that must repel, and to reports that must not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch

from auricle.text.findings import FindingsSpace, similarity
from auricle.text.glossary import to_english
from auricle.text.reports import clean
from auricle.text.towers import Tower

# (first, second, what differs, whether the pair must repel)
PAIRS: Final[tuple[tuple[str, str, str, bool], ...]] = (
    ("Left bundle branch block", "Right bundle branch block", "side", True),
    ("Left ventricular hypertrophy", "Right ventricular hypertrophy", "side", True),
    ("Left axis deviation", "Right axis deviation", "side", True),
    ("ST elevation", "No ST elevation", "negation", True),
    ("Anterior infarction", "No evidence of infarction", "negation", True),
    ("First degree AV block", "Third degree AV block", "degree", True),
    ("Incomplete right bundle branch block", "Complete right bundle branch block", "degree", True),
    ("ST elevation in anterior leads", "ST elevation in inferior leads", "territory", True),
    ("Sinus rhythm", "Atrial fibrillation", "rhythm", True),
    (
        "Atrial fibrillation. LBBB. Anterior infarction",
        "Atrial fibrillation. RVH. Prolonged QT",
        "A+B+C / A+D+E",
        False,
    ),
    (
        "Sinus rhythm. LVH. First degree AV block",
        "Sinus rhythm. LVH. Nonspecific T wave changes",
        "A+B+C / A+B+D",
        False,
    ),
    ("WPW", "Wolff-Parkinson-White", "abbreviation", False),
    ("LBBB", "Left bundle branch block", "abbreviation", False),
    ("Premature ventricular contractions", "Ventricular extrasystoles", "paraphrase", False),
    ("Linksschenkelblock", "Left bundle branch block", "German", False),
    ("Sinusrhythmus, normales EKG", "Sinus rhythm. Normal ECG", "German", False),
    ("Vänstersidigt skänkelblock", "Left bundle branch block", "Swedish", False),
)


@dataclass(frozen=True, slots=True)
class PairRow:
    """One pair: what differs, whether it must repel, its cosine as written and in English, and S of findings."""

    first: str
    second: str
    differs_by: str
    must_repel: bool
    cosine_raw: float
    cosine_english: float
    findings: float


def pair_table(tower: Tower) -> list[PairRow]:
    """The rows of `PAIRS` with the cosines of a tower and the similarity of findings."""
    raw = [[clean(text) for text in pair[:2]] for pair in PAIRS]
    english = [[to_english(text).text for text in pair] for pair in raw]
    space = FindingsSpace.fit([text for pair in english for text in pair])
    rows = []
    for number, (first, second, what, repel) in enumerate(PAIRS):
        plain, translated = tower.embed(raw[number]), tower.embed(english[number])
        _, diagnoses = (torch.from_numpy(matrix) for matrix in space.encode(english[number]))
        rows.append(
            PairRow(
                first, second, what, repel, float(plain[0] @ plain[1]), float(translated[0] @ translated[1]),
                float(similarity(diagnoses[:1], diagnoses[1:])[0, 0]),
            )
        )  # fmt: skip
    return rows


def to_markdown(rows: list[PairRow]) -> str:
    """The table as Markdown."""
    lines = [
        "| reports | differ by | should | cosine as written | cosine in English | findings |",
        "|---|---|---|---:|---:|---:|",
    ]
    for row in rows:
        should = "repel" if row.must_repel else "not repel"
        lines.append(
            f"| {row.first} / {row.second} | {row.differs_by} | {should} | {row.cosine_raw:.2f} | "
            f"{row.cosine_english:.2f} | {row.findings:.2f} |"
        )
    return "\n".join(lines)
