"""The demo's morning as data: who arrives when, what goes wrong, from one seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

from kiosk.model import Person

_FIRST = (
    "Ada", "Ben", "Carla", "Dmitri", "Esi", "Farid", "Greta", "Hugo", "Imani", "Jonas", "Kaya",
    "Luca", "Mina", "Noor", "Otis", "Priya", "Quinn", "Rosa", "Stellan", "Tariq", "Uma", "Viktor",
    "Wren", "Xenia", "Yara", "Zoltan",
)  # fmt: skip
_LAST = (
    "Abara", "Berg", "Costa", "Demir", "Eriksen", "Fischer", "Grant", "Hoang", "Ivanova", "Jung",
    "Keller", "Lopez", "Moreau", "Novak", "Ortiz", "Pavlou", "Quist", "Reyes", "Silva", "Tanaka",
)  # fmt: skip
STRANGER = "stranger"


class Act(StrEnum):
    """What happens at one moment of the morning."""

    ARRIVE = "arrive"
    REPEAT = "repeat"  # somebody who is in already
    DRY = "dry"  # a dry finger first, then a good one of the same person
    STRANGER = "stranger"  # a finger that nobody enrolled
    UNPLUG = "unplug"  # the sensor's cable, and in again a moment later


@dataclass(frozen=True, slots=True)
class Step:
    """One moment: `at` seconds from the start, `who` a person's id (empty for the sensor)."""

    at: float
    act: Act
    who: str = ""


def cast(sample: list[Person], count: int, seed: int) -> list[Person]:
    """`count` people: the sample ones first, then made-up names, the same for the same seed."""
    rng = random.Random(seed)  # noqa: S311  a script, not a key
    people = sample[:count]
    for number in range(len(people), count):
        first, last = rng.choice(_FIRST), rng.choice(_LAST)
        people.append(Person(f"person-{number:04}", first, last, "member", f"{30000 + number}"))
    return people


def morning(people: list[str], seconds: float, seed: int) -> list[Step]:
    """Everybody arrives once, in a seeded order; repeats, a stranger, a dry finger and an unplugged
    sensor come in between. Spread over the first nine tenths of `seconds`.
    """
    rng = random.Random(seed)  # noqa: S311  a script, not a key
    order = rng.sample(people, len(people))
    acts = [(Act.ARRIVE, who) for who in order]
    if acts:
        acts[len(acts) // 4] = (Act.DRY, acts[len(acts) // 4][1])
    for _ in range(max(1, len(order) // 5)):
        at = rng.randrange(1, len(acts) + 1)
        been = [who for act, who in acts[:at] if act in (Act.ARRIVE, Act.DRY)]
        acts.insert(at, (Act.REPEAT, rng.choice(been)) if been else (Act.STRANGER, STRANGER))
    acts.insert(len(acts) // 3, (Act.STRANGER, STRANGER))
    acts.insert(len(acts) * 4 // 5, (Act.UNPLUG, ""))
    pace = seconds * 0.9 / len(acts)
    return [Step(number * pace, act, who) for number, (act, who) in enumerate(acts)]
