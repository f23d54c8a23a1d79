"""Which cells a run leaves undecided for lack of valid repeats, the cause, and what to do: docs/concepts.md."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from bundle.reading import Bundle, Repeat
from bundle.result import Disturbance, Result
from reports import formats
from reports.cells.cells import Cell

VALID_ENOUGH = 2
"""Valid repeats that a drain or a steady cell needs; one if its matrix has only one round."""
_WORTH_NAMING = 0.03
_MOST_NAMED = 3
_ASIDE = re.compile(r"\s*\([^()]*\)")
_MACHINE = "machine: "
_BY_OTHERS = (_MACHINE, "generator: schedule delay")


class Undecided(Struct, frozen=True):
    """A cell without an answer: its ``label``, and ``why`` in a clause."""

    label: str
    why: str


def cells(bundle: Bundle, given: Sequence[Cell]) -> tuple[Undecided, ...]:
    """Return the cells that have no answer because repeats are void, missing, or cannot be judged."""
    rounds = bundle.manifest.matrix.rounds
    found = []
    for cell in given:
        why = _search(cell) if cell.kind.searched else _repeats(bundle, cell, rounds)
        if why:
            found.append(Undecided(cell.label_with_kind, why))
    return tuple(found)


def trusted(bundle: Bundle, repeats: Sequence[Repeat]) -> list[Repeat]:
    """Leave out valid repeats during which others used more of the machine than allowed.

    Such a repeat is valid because its window is too short to judge that by samples of one second.
    """
    most = bundle.manifest.bounds.get("disturbed_share")
    return [r for r in repeats if most is None or r.result.bounds_measured.get("disturbed_share", 0.0) <= most]


def culprits(bundle: Bundle, given: Sequence[Cell]) -> tuple[str, ...]:
    """Say what made attempts void in the cells without an answer, name the programs, and say what to do."""
    labels = {each.label for each in cells(bundle, given)}
    attempts = [repeat.result for cell in given if cell.label_with_kind in labels for repeat in cell.attempts]
    void = [result for result in attempts if not result.valid or _is_disturbed(bundle, result)]
    if not void:
        return ()
    blamed = [result.disturbance for result in void if result.disturbance and _is_disturbed(bundle, result)]
    said = _busy(blamed) if blamed else _reasons(void)
    return (*said, f"Then measure again: {again(bundle)}")


def culprit(bundle: Bundle, given: Sequence[Cell]) -> str:
    """Name the cause in a few words: ``other programs took up to 73% of the CPU``; empty if it was not others."""
    labels = {each.label for each in cells(bundle, given)}
    attempts = [repeat.result for cell in given if cell.label_with_kind in labels for repeat in cell.attempts]
    blamed = [each.disturbance for each in attempts if each.disturbance and _is_disturbed(bundle, each)]
    if not blamed:
        return ""
    worst = max(blamed, key=lambda each: each.total)
    who = "other programs" if worst.other_programs >= worst.stolen else "the host"
    return f"{who} took up to {max(worst.other_programs, worst.stolen):.0%} of the CPU"


def again(bundle: Bundle) -> str:
    """Return the command that measures what is missing: the rest of an interrupted run, or the matrix again."""
    if bundle.manifest.status != "complete":
        return f"./tidemark bench resume {shlex.quote(str(bundle.path))}"
    return bundle.manifest.command.replace("python -m bench run", "./tidemark bench")


def _repeats(bundle: Bundle, cell: Cell, rounds: int) -> str:
    """Say why a drain or a steady cell has too few repeats; empty if it has enough."""
    enough = min(VALID_ENOUGH, rounds) if rounds else 1
    sound = trusted(bundle, cell.valid)
    if len(sound) >= enough:
        return ""
    disturbed = len(cell.valid) - len(sound)
    also = f", {disturbed} more beside a busy machine" if disturbed else ""
    of = f" of {formats.plural(rounds, 'round')}" if rounds else ""
    return f"{formats.plural(len(sound), 'valid repeat')}{of}{also}: {enough} needed"


def _search(cell: Cell) -> str:
    """Say why a search has no answer: it did not end, or too many probes were void."""
    found = cell.capacity
    if found is None:
        return "its search did not end"
    if found.sustainable_events_per_s is None and not cell.held_nothing:
        return f"no probe decides it: {found.ended}"
    disturbed = _disturbed_probes(cell)
    if not found.confirmed and disturbed:
        return f"its answer is not confirmed, with {formats.plural(disturbed, 'void attempt')}: {found.ended}"
    return ""


def _disturbed_probes(cell: Cell) -> int:
    """Count void attempts that say nothing about their load: at or below a valid load, or on a busy machine."""
    highest = max((repeat.result.offered_load_events_per_s or 0.0 for repeat in cell.valid), default=0.0)
    void = [repeat.result for repeat in cell.attempts if not repeat.result.valid]
    return sum(
        (result.offered_load_events_per_s or 0.0) <= highest
        or any(reason.startswith(_MACHINE) for reason in result.reasons)
        for result in void
    )


def _is_disturbed(bundle: Bundle, result: Result) -> bool:
    """Whether others used the machine so much that they made this repeat void, or the generator late."""
    if result.disturbance is None or result.disturbance.total < _WORTH_NAMING:
        return False
    late = not result.valid and any(reason.startswith(_BY_OTHERS) for reason in result.reasons)
    most = bundle.manifest.bounds.get("disturbed_share")
    return late or (most is not None and result.bounds_measured.get("disturbed_share", 0.0) > most)


def _busy(blamed: Sequence[Disturbance]) -> tuple[str, ...]:
    """Name the programs with the highest share that each took, and the host."""
    others, stolen = max(each.other_programs for each in blamed), max(each.stolen for each in blamed)
    shares: dict[str, float] = {}
    for each in blamed:
        for program in each.programs:
            shares[program.name] = max(shares.get(program.name, 0.0), program.share)
    named = sorted(shares.items(), key=lambda pair: -pair[1])[:_MOST_NAMED]
    said = []
    if others >= _WORTH_NAMING:
        who = ": " + ", ".join(f"{name} {share:.0%}" for name, share in named) if named else " (names not recorded)"
        said.append(f"Other programs used up to {others:.0%} of the machine's CPU{who}. Stop them, or wait.")
    if stolen >= _WORTH_NAMING:
        said.append(
            f"The host of this virtual machine took up to {stolen:.0%} of its CPU. "
            "Wait until it is quieter, or use a dedicated machine."
        )
    return tuple(said)


def _reasons(void: Sequence[Result]) -> tuple[str, ...]:
    """Where nobody else is to blame: the most frequent reason of the void attempts."""
    counted = Counter(_ASIDE.sub("", reason) for result in void for reason in result.reasons)
    if not counted:
        return ()
    (reason, number), *others = counted.most_common()
    more = f", and {formats.plural(len(others), 'other reason')}" if others else ""
    alone = all(result.disturbance is not None and result.disturbance.total < _WORTH_NAMING for result in void)
    others_used = "No other program used much of the CPU. " if alone else ""
    return (f"{others_used}{number} of {len(void)} void attempts: {reason}{more}.",)
