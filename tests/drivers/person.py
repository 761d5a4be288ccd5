"""Somebody at the reader, who does what enrolment asks for, or something else."""

from __future__ import annotations

from drivers.enrolment import EnrolmentTiming, Step

QUICK = EnrolmentTiming(poll=0.001, patience=2.0, lift_seconds=0.003)
ASKED = [Step.PLACE, Step.LIFT, Step.PLACE_AGAIN, Step.LIFT, Step.VERIFY]
_PLACEMENTS = {Step.PLACE, Step.PLACE_AGAIN, Step.VERIFY}


class Person:
    """Obeys the prompts with the given fingers, one (name, quality) per placement."""

    def __init__(self, emulator, *placements):
        self.emulator = emulator
        self.placements = [p if isinstance(p, tuple) else (p, "good") for p in placements]
        self.prompts = []

    def __call__(self, step):
        self.prompts.append(step)
        if step in _PLACEMENTS:
            self.emulator.place(*self.placements.pop(0))
        else:
            self.emulator.lift()


def same(emulator, name):
    """A person who does everything right."""
    return Person(emulator, name, name, name)
