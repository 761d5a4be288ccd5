"""Artificial fingers as pictures: stable, different, ridged, and as bad as was asked for."""

from __future__ import annotations

from itertools import combinations, pairwise
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.emulator import fingers, ridges
from drivers.emulator.fingers import Finger, Quality
from drivers.emulator.module import Module
from drivers.profiles import PROFILES, R307
from tests.drivers.emulated import OK, ask, send_data

SIZE = R307.image
NAMES = ("ann", "bob", "eve", "kim", "zoe")


def picture(name, quality=Quality.GOOD, size=SIZE):
    """Rows of levels, 0 black to 15 white."""
    width, height = size
    packed = ridges.image(Finger(name).identity, quality, size)
    levels = [level for byte in packed for level in (byte >> 4, byte & 15)]
    return [levels[y * width : (y + 1) * width] for y in range(height)]


def correlation(one, other):
    """Pearson's, of the middle of two pictures, where every finger has ridges."""
    first, second = middle(one), middle(other)
    mean, mean2 = fmean(first), fmean(second)
    a = [value - mean for value in first]
    b = [value - mean2 for value in second]
    product = sum(x * y for x, y in zip(a, b, strict=True))
    return product / (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5


def middle(rows):
    return [level for row in rows[90:200] for level in row[70:190]]


def test_the_same_name_is_the_same_picture_and_two_names_are_two():
    pictures = {name: picture(name) for name in NAMES}
    for name in NAMES:
        ridges._picture.cache_clear()
        assert picture(name) == pictures[name]
    for one, other in combinations(NAMES, 2):
        assert abs(correlation(pictures[one], pictures[other])) < 0.25


@pytest.mark.parametrize("name", NAMES)
def test_ridges_have_the_pitch_of_a_finger_at_500_dpi(name):
    rows = picture(name)
    dark = fmean(level < 8 for level in middle(rows))
    assert 0.35 < dark < 0.65, "as much ridge as valley"
    changes = [
        sum((a < 8) != (b < 8) for a, b in pairwise(line))
        for line in (*rows[90:200], *map(list, zip(*rows, strict=True)))
    ]
    # A line across the ridges meets two edges for each; none meets more than the finest pitch has.
    assert max(changes) <= 2 * max(SIZE) / 6
    assert max(changes) >= 2 * 150 / 12


@pytest.mark.parametrize("size", {profile.image for profile in PROFILES.values()})
def test_the_margin_is_white_and_the_label_is_in_the_first_row(size):
    width, height = size
    packed = ridges.image(Finger("ann").identity, Quality.GOOD, size)
    assert len(packed) == width * height // 2
    assert packed.startswith(fingers.LABEL)
    rows = picture("ann", size=size)
    assert fmean(rows[height - 1]) > 12
    assert fmean(row[0] for row in rows[2:]) > 12


def test_qualities_look_like_what_they_are():
    good, dry, wet, partial, smudged = (picture("ann", quality) for quality in Quality)
    mean = fmean(middle(good))
    assert fmean(middle(dry)) > mean + 2
    assert fmean(middle(wet)) < mean - 2
    assert sum(level < 8 for row in partial for level in row) < 0.6 * sum(
        level < 8 for row in good for level in row
    )
    assert max(middle(smudged)) - min(middle(smudged)) < max(middle(good)) - min(middle(good)) - 4
    for other in (dry, wet, smudged):
        assert correlation(good, other) > 0.5, "still the same finger"


def test_an_empty_glass_is_white():
    assert set(ridges.image(None, Quality.GOOD, SIZE)) == {0xFF}


@pytest.mark.parametrize("quality", list(Quality))
def test_a_picture_that_is_sent_back_keeps_its_finger_and_its_quality(quality):
    module = Module(R307)
    packed = ridges.image(Finger("ann").identity, quality, SIZE)
    assert ridges.signature(packed) == (Finger("ann").identity, quality)
    assert ask(module, b"\x0b") == [OK]
    send_data(module, *[packed[at : at + 256] for at in range(0, len(packed), 256)])
    assert ask(module, b"\x02\1") == [bytes((module.quality_code(quality),))]


@given(st.binary(max_size=80))
def test_any_other_picture_is_nobody_s(pixels):
    identity, _ = ridges.signature(pixels)
    assert identity is None or pixels.startswith(fingers.LABEL)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.sampled_from([512, 1536]))
def test_a_little_damage_is_forgiven_and_a_lot_is_not(number, change, size):
    template = fingers.template(Finger("ann").identity, number, size)
    altered = fingers.altered(template, change)
    assert altered != template
    assert len(altered) == size
    assert fingers.identity_of(altered) == Finger("ann").identity
    half = template[: size // 2] + bytes(size - size // 2)
    assert fingers.identity_of(half) is None


def test_scores_of_one_finger_vary_over_the_profile_s_range():
    probes = [fingers.template(Finger("ann").identity, number, 512) for number in range(200)]
    scores = {fingers.compare(probes[0], probe, (52, 120)) for probe in probes}
    assert min(scores) < 60
    assert max(scores) > 112
