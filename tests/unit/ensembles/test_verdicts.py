"""The verdict on a difference, and its sentence."""

import pytest

from genenet.ensembles.verdicts import Lead, LeadVerdict, on_blocks, signed
from genenet.metrics.intervals import FEW, ConfidenceInterval


def between(low, high):
    return ConfidenceInterval(low, high, 40)


@pytest.mark.parametrize(
    ("lead", "verdict", "sentence"),
    [
        (
            Lead("ari", 0.0554, between(0.04, 0.074)),
            LeadVerdict.BEATS,
            "The ensemble beats the U-Net 2015 by 0.055 ARI (95 % interval: 0.040 to 0.074).",
        ),
        (
            Lead("mean_iou", -0.1, between(-0.2, -0.05), spread=0.01),
            LeadVerdict.BEHIND,
            "The ensemble is behind the U-Net 2015 by 0.100 ± 0.010 mean IoU (95 % interval: −0.200 to −0.050).",
        ),
        (
            Lead("ari", 0.004, between(-0.005, 0.01)),
            LeadVerdict.NO_DIFFERENCE,
            "No difference is shown between the ensemble and the U-Net 2015: it is 0.004 ARI ahead "
            "(95 % interval: −0.005 to 0.010).",
        ),
        (
            Lead("ari", -0.0001, between(-0.005, 0.01)),
            LeadVerdict.NO_DIFFERENCE,
            "No difference is shown between the ensemble and the U-Net 2015: it is less than 0.001 ARI behind "
            "(95 % interval: −0.005 to 0.010).",
        ),
        (
            Lead("ari", 0.0, between(0.0, 0.0)),
            LeadVerdict.NO_DIFFERENCE,
            "No difference is shown between the ensemble and the U-Net 2015: their ARI is the same "
            "(95 % interval: 0.000 to 0.000).",
        ),
        (
            Lead("ari", 0.0),
            LeadVerdict.NO_DIFFERENCE,
            "No difference is shown between the ensemble and the U-Net 2015: their ARI is the same.",
        ),
        (
            Lead("ari", 0.112),
            LeadVerdict.UNPROVEN_AHEAD,
            "The ensemble is 0.112 ARI ahead of the U-Net 2015; no interval is known, so this may be chance.",
        ),
        (
            Lead("ari", -0.112),
            LeadVerdict.UNPROVEN_BEHIND,
            "The ensemble is 0.112 ARI behind the U-Net 2015; no interval is known, so this may be chance.",
        ),
        (
            Lead("both", None, between(0.1, 0.2)),
            LeadVerdict.NOT_COMPARABLE,
            "The ensemble can't be compared with the U-Net 2015 by mean of ARI and mean IoU: a score is missing.",
        ),
    ],
)
def test_what_a_difference_shows(lead, verdict, sentence):
    assert lead.verdict is verdict
    assert lead.sentence("the U-Net 2015") == sentence


def test_an_interval_on_the_other_side_of_zero_shows_nothing():
    """The mean over a baseline's seeds may lie outside the interval, which takes one seed each time."""
    assert Lead("ari", -0.01, between(0.001, 0.2)).verdict is LeadVerdict.NO_DIFFERENCE


def test_an_interval_that_ends_at_zero_shows_nothing():
    assert Lead("ari", 0.01, between(0.0, 0.2)).verdict is LeadVerdict.NO_DIFFERENCE
    assert Lead("ari", -0.01, between(-0.2, 0.0)).verdict is LeadVerdict.NO_DIFFERENCE


def test_few_blocks_are_a_warning():
    assert on_blocks(FEW) == f"The intervals come from {FEW} blocks."
    assert (
        on_blocks(9) == "The intervals are poorly known, since they come from only 9 blocks (fewer than 20)."
    )


def test_numbers_have_a_true_minus_sign_and_no_negative_zero():
    assert [signed(value) for value in (-0.0001, -0.12345, 0.5)] == ["0.000", "−0.123", "0.500"]
