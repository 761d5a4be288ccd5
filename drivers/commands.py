"""What the driver knows of each instruction: deadline, shape of the answer, ordinary refusal."""

from __future__ import annotations

from drivers import codes
from drivers import profiles as p

# Seconds a module may think before its acknowledgement; not listed: `DEADLINE`.
DEADLINE = 1.0
DEADLINES = {
    p.GEN_IMAGE: 2.0,
    p.IMAGE_TO_TEMPLATE: 2.0,
    p.STORE: 2.0,
    p.DELETE_CHAR: 2.0,
    p.WRITE_NOTEPAD: 2.0,
    p.READ_NOTEPAD: 2.0,
    p.EMPTY: 5.0,
    p.AURA_LED: 0.3,
    p.LED_ON: 0.3,
    p.LED_OFF: 0.3,
}
SEARCH_FLOOR = 3.0
SEARCH_EACH = 0.01
SEARCHES = frozenset({p.SEARCH, p.HI_SPEED_SEARCH})

# Bytes of a successful acknowledgement, code included; not listed: the code alone.
SHAPES = {
    p.MATCH: 3,
    p.SEARCH: 5,
    p.HI_SPEED_SEARCH: 5,
    p.READ_SYS_PARA: 17,
    p.GET_RANDOM: 5,
    p.READ_NOTEPAD: 1 + p.NOTEPAD_PAGE,
    p.TEMPLATE_COUNT: 3,
    p.READ_INDEX: 33,
    p.PRODUCT_INFO: 47,
}
# Refusals that are a return value and no exception.
RETURNED = {
    p.GEN_IMAGE: codes.NO_FINGER,
    p.VERIFY_PASSWORD: codes.WRONG_PASSWORD,
    p.REG_MODEL: codes.MERGE_FAILED,
    p.SEARCH: codes.NOT_FOUND,
    p.HI_SPEED_SEARCH: codes.NOT_FOUND,
    p.DELETE_CHAR: codes.DELETE_FAILED,
    p.EMPTY: codes.CLEAR_FAILED,
    p.MATCH: codes.NO_MATCH,
}
# Most bytes that may follow the acknowledgement as data packets: twice the largest model's.
STREAMS = {p.UP_CHAR: 4096, p.UP_IMAGE: 98_304}


def deadline_of(instruction: int, capacity: int) -> float:
    """Seconds that a module with `capacity` slots may take to acknowledge `instruction`."""
    if instruction in SEARCHES:
        return max(SEARCH_FLOOR, capacity * SEARCH_EACH)
    return DEADLINES.get(instruction, DEADLINE)


def stream_seconds(instruction: int, baudrate: int) -> float:
    """Seconds that all data packets behind an acknowledgement may take together."""
    return 1.0 + STREAMS[instruction] * 10 / baudrate
