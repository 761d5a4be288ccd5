from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from kiosk.model import Person
from kiosk.script import STRANGER, Act, cast, morning

SAMPLE = [Person(f"s{n}", f"Sample{n}") for n in range(10)]


@given(st.integers(1, 120), st.floats(1, 600), st.integers(0, 5))
def test_everybody_arrives_once_and_something_of_everything_happens(count, seconds, seed):
    people = [f"p{n}" for n in range(count)]
    steps = morning(people, seconds, seed)
    first = [step.who for step in steps if step.act in (Act.ARRIVE, Act.DRY)]
    assert sorted(first) == sorted(people)
    acts = {step.act for step in steps}
    assert {Act.DRY, Act.STRANGER, Act.UNPLUG} <= acts
    assert all(earlier.at <= later.at for earlier, later in itertools.pairwise(steps))
    assert steps[0].at >= 0
    assert steps[-1].at <= seconds


@given(st.integers(1, 60), st.integers(0, 9))
def test_only_who_is_in_already_comes_again(count, seed):
    been = set()
    for step in morning([f"p{n}" for n in range(count)], 30, seed):
        if step.act is Act.REPEAT:
            assert step.who in been
        elif step.act in (Act.ARRIVE, Act.DRY):
            been.add(step.who)


def test_the_same_seed_is_the_same_morning():
    people = [person.id for person in SAMPLE]
    assert morning(people, 30, 4) == morning(people, 30, 4)
    assert morning(people, 30, 4) != morning(people, 30, 5)


@given(st.integers(1, 300), st.integers(0, 3))
def test_the_cast_begins_with_the_sample_and_has_unique_ids_and_codes(count, seed):
    people = cast(SAMPLE, count, seed)
    assert len(people) == count
    assert people[:10] == SAMPLE[:count]
    assert len({person.id for person in people}) == count
    assert STRANGER not in {person.id for person in people}
    codes = [person.code for person in people if person.code]
    assert len(set(codes)) == len(codes)
