"""What a reader must know before the numbers of a comparison."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from bundle.manifest import Manifest
from bundle.reading import Bundle
from reports import formats
from reports.answer import verdict
from reports.cells.cells import Cell
from reports.ratios import environments
from reports.ratios.environments import Fact

_NAMED = 8
_OF_A_REPEAT = re.compile(r"\S+ round \d+\b.*: .*durations are not in the percentiles")


def of_pair(base: Manifest, new: Manifest, facts: Sequence[Fact], *, interleaved: bool) -> Iterator[str]:
    """Name all in which two runs are not as if they were one: made at another time, elsewhere, with something else."""
    if not interleaved:
        yield (
            f"The runs were made one after the other ({formats.moment(base.started_at)} and "
            f"{formats.moment(new.started_at)}): a drift of the machine between them is not excluded. "
            "To exclude it, measure both interleaved in one session: ./tidemark bench compare --ab MATRIX BASE NEW."
        )
    differing = [fact.sentence for fact in facts if fact.differs and not fact.is_expected(interleaved=interleaved)]
    if differing:
        more = f"; and {len(differing) - _NAMED} more, below" if len(differing) > _NAMED else ""
        yield f"The environments differ: {'; '.join(differing[:_NAMED])}{more}."
    if not interleaved and base.git_dirty and environments.revision(base) == environments.revision(new):
        yield "Both runs had local changes to the same git revision: these are not recorded, and may differ."


def of_cells(pairs: Sequence[tuple[Cell, Cell]], only: Sequence[Sequence[str]], *, interleaved: bool) -> Iterator[str]:
    """Name what is in one run only: cells, and rounds without a pair."""
    for side, names in zip(("BASE", "NEW"), only, strict=True):
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            yield f"In {side} only: {', '.join(names[:_NAMED])}{more}."
    if not interleaved:
        return
    alone = [(base.label_with_kind, len(_rounds(base) ^ _rounds(new))) for base, new in pairs if not base.kind.searched]
    missing = [f"{label} {number}" for label, number in alone if number]
    if missing:
        yield f"Rounds left out, for a valid repeat of the other run is missing: {', '.join(missing)}."


def of_run(side: str, bundle: Bundle, cells: Iterable[Cell]) -> tuple[list[str], list[str]]:
    """Return the warnings of a run's report, and separately the notes about missing files.

    A committed run lacks the same file in each repeat: such a note must not come before the numbers.
    """
    judged = verdict.decide(bundle, list(cells))
    said = [*judged.undecided, *judged.cautions]
    notes = [text for text in said if _OF_A_REPEAT.match(text)]
    return [f"{side}: {text}" for text in said if text not in notes], [f"{side}: {text}" for text in notes]


def _rounds(cell: Cell) -> set[int]:
    return {repeat.result.round for repeat in cell.valid}
