"""Why a verdict is what it is, in words: the same for cells of runs and for steps of a way."""

from __future__ import annotations

from reports import formats
from reports.ratios.family import Tested
from stats import inference, power
from stats.inference import Verdict


def explain(
    said: Verdict,
    tested: Tested,
    *,
    among: int,
    noun: str,
    floor: float,
    paired: bool = True,
    seen: float | None = None,
) -> str:
    """Say what decided a verdict.

    ``among``: how many tests Holm's correction counts, each of a ``noun``. ``paired``: by round. ``seen``: the smallest
    change that such rounds can show, as a share.
    """
    if tested.p is None or tested.corrected_p is None:
        have = "round has" if tested.rounds == 1 else "rounds have"
        return f"a spread needs two rounds, and {tested.rounds} {have} a valid repeat that has it in both runs"
    corrected = (
        f"p {formats.probability(tested.corrected_p)} after Holm's correction over {formats.plural(among, noun)}"
    )
    if said in ("faster", "slower"):
        return corrected
    if said == "same":
        return f"the whole interval lies within {floor:.0%} of no change"
    if tested.smallest_p * among > inference.FAMILY_LEVEL:
        return (
            f"{formats.plural(tested.rounds, 'round')} cannot bring p below {formats.probability(tested.smallest_p)}, "
            f"and {formats.probability(inference.FAMILY_LEVEL / among)} is needed"
            f"{f' for the first of {among} {noun}s' if among > 1 else ''}: no change can be seen, however large, with "
            f"fewer than {power.fewest_rounds(among, paired=paired)} rounds{'' if paired else ' of each run'}"
        )
    limit = "" if seen is None else f"; a change of {seen:.0%} would have been seen"
    if tested.corrected_p <= inference.FAMILY_LEVEL:
        return f"a difference is there ({corrected}), and may be below the floor of {floor:.0%}{limit}"
    return f"neither a difference nor its absence is shown ({corrected}){limit}"
