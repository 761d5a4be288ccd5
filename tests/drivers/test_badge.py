"""Keys as a reader and as people press them; every key is somebody's, and no token is made up."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.badge import BURST, REST, BadgeFormat, BadgeParser, Ignored, token_in

FAST, SLOW = 0.004, 0.12
FORM = BadgeFormat()


class Keyboard:
    """One keyboard that a reader and a person share, with what the parser made of it."""

    def __init__(self, form=FORM):
        self.parser = BadgeParser(form)
        self.at = 100.0
        self.tokens, self.ignored, self.typed = [], [], []
        self.pressed = 0

    def press(self, character, after=FAST):
        self.at += after
        origin = (self.pressed, character)
        self.pressed += 1
        self.take(self.parser.key(character, self.at, origin))
        return origin

    def take(self, heard):
        self.tokens += [heard.token] if heard.token is not None else []
        self.ignored += [heard.ignored] if heard.ignored else []
        self.typed += heard.typed

    def scan(self, text, end="\r", after=SLOW, key_time=FAST):
        for number, character in enumerate(text + end):
            self.press(character, after if not number else key_time)

    def write(self, text, key_time=SLOW):
        return [self.press(character, key_time) for character in text]

    def rest(self, seconds=REST + SLOW):
        self.at += seconds
        self.take(self.parser.pause())


@pytest.fixture
def keyboard():
    return Keyboard()


@pytest.mark.parametrize("end", ["\r", "\n", "\t", "\r\n", "\r\t"])
@pytest.mark.parametrize("text", ["20417", "04A2B3C4D5", "Ärzte 4711", "x" * 128])
def test_a_scan_is_a_token_and_none_of_its_keys_is_typed(keyboard, text, end):
    keyboard.scan(text, end)
    keyboard.rest()
    assert (keyboard.tokens, keyboard.typed, keyboard.ignored) == ([text], [], [])


def test_a_person_who_types_a_badges_number_is_not_a_badge(keyboard):
    keys = keyboard.write("20417\r")
    keyboard.rest()
    assert keyboard.tokens == []
    assert keyboard.typed == keys


def test_enter_and_tab_alone_are_given_back_at_once(keyboard):
    for end in "\r\t":
        assert keyboard.parser.key(end, keyboard.at, end).typed == (end,)


def test_two_fingers_on_two_keys_at_once_are_still_a_person(keyboard):
    keys = [*keyboard.write("t"), keyboard.press("h", 0.01), keyboard.press("\r", 0.01)]
    keyboard.rest()
    assert keyboard.typed == keys
    assert keyboard.tokens == []


def test_the_last_key_waits_for_the_gap_only(keyboard):
    key = keyboard.press("a")
    assert keyboard.typed == []
    keyboard.take(keyboard.parser.pause())
    assert keyboard.typed == [key]
    keyboard.take(keyboard.parser.pause())
    assert keyboard.typed == [key]


def test_the_gap_is_the_limit_between_keys():
    form = BadgeFormat(gap=0.2)
    within, beyond = Keyboard(form), Keyboard(form)
    within.scan("20417", key_time=0.19)
    beyond.scan("20417", key_time=0.21)
    assert (within.tokens, beyond.tokens) == (["20417"], [])


def test_badges_that_follow_each_other_without_a_pause_are_all_read(keyboard):
    wanted = [f"{number:05}" for number in range(50)]
    for token in wanted:
        keyboard.scan(token, after=FAST)
    assert keyboard.tokens == wanted


def test_the_same_badge_counts_once_until_it_has_been_away(keyboard):
    for _ in range(6):
        keyboard.scan("20417", after=1.0)
    keyboard.scan("20418", after=1.0)
    keyboard.scan("20417", after=1.0)
    assert keyboard.tokens == ["20417", "20418"]
    assert keyboard.ignored == [Ignored.REPEATED] * 6
    keyboard.scan("20417", after=FORM.debounce + 0.01)
    assert keyboard.tokens == ["20417", "20418", "20417"]


def test_a_broken_scan_is_nobody_and_neither_is_its_tail(keyboard):
    keyboard.write("12345678", FAST)
    keyboard.scan("56789", after=0.2)
    assert (keyboard.tokens, keyboard.typed) == ([], [])
    assert keyboard.ignored == [Ignored.BROKEN]
    keyboard.scan("20417", after=FAST)
    assert keyboard.tokens == ["20417"], "its Enter ends the broken scan"


def test_a_key_or_two_and_then_a_scan_may_be_a_torn_badge(keyboard):
    keys = keyboard.write("20", FAST)
    keyboard.scan("417204", after=0.2)
    assert (keyboard.tokens, keyboard.typed, keyboard.ignored) == ([], keys, [Ignored.BROKEN])
    keyboard.scan("417204", after=REST)
    assert keyboard.tokens == ["417204"]


def test_a_scan_that_only_broke_off_is_over_after_a_while(keyboard):
    keyboard.write("123456", FAST)
    keyboard.rest()
    keyboard.scan("20417")
    keys = keyboard.write("ab")
    keyboard.rest()
    assert keyboard.tokens == ["20417"]
    assert keyboard.typed == keys


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("123", Ignored.SHORT),
        ("x" * 129, Ignored.LONG),
        ("x" * 100_000, Ignored.LONG),
        ("    ", Ignored.SHORT),
    ],
)
def test_what_is_no_badge_is_said_and_pressed_nowhere(keyboard, text, why):
    keyboard.scan(text)
    assert (keyboard.tokens, keyboard.typed, keyboard.ignored) == ([], [], [why])


def test_memory_is_bounded_by_the_format(keyboard):
    for number in range(10_000):
        keyboard.press(string.digits[number % 10])
    assert len(keyboard.parser._text) <= FORM.longest + 1
    assert len(keyboard.parser._held) < BURST
    for number in range(1000):
        keyboard.scan(f"{number:06}", after=1.0)
    assert len(keyboard.parser._seen) <= 4


def test_prefix_and_suffix_are_demanded_and_taken_off():
    keyboard = Keyboard(BadgeFormat(prefix="%B", suffix="?"))
    keyboard.scan("%B20417?")
    for text in ("20417", "%B20417", "20417?", "%"):
        keyboard.scan(text * 2)
    assert keyboard.tokens == ["20417"]
    assert keyboard.ignored == [Ignored.FOREIGN] * 3
    assert "".join(character for _, character in keyboard.typed) == "%%\r"


def test_prefix_and_suffix_may_not_share_characters():
    keyboard = Keyboard(BadgeFormat(prefix="aaaa", suffix="aaaa"))
    keyboard.scan("aaaaaa")
    keyboard.scan("aaaa2041aaaa")
    assert keyboard.tokens == ["2041"]


@pytest.mark.parametrize(
    ("text", "pattern", "token"),
    [
        ("20417", "", "20417"),
        ("https://club.example/m/4711", "", "4711"),
        ("https://club.example/m/4711/?x=1#top", "", "4711"),
        ("https://club.example/", "", "https://club.example/"),
        ("https://club.example", "", "https://club.example"),
        ("  hello there ", "", "hello there"),
        ("https://club.example/?member=4711&y", r"member=(\w+)", "4711"),
        ("WH-4711-X", r"\d+", "4711"),
        ("nothing of it", r"member=(\w+)", "nothing of it"),
        ("abcd", r"(x)?abcd", ""),
    ],
)
def test_the_token_in_what_was_read(text, pattern, token):
    assert token_in(text, pattern) == token


def test_the_pattern_is_used_for_scans():
    keyboard = Keyboard(BadgeFormat(pattern=r"member=(\w+)"))
    keyboard.scan("https://club.example/?member=20417&y=1")
    assert keyboard.tokens == ["20417"]


def test_a_format_that_cannot_be_is_refused_when_made():
    with pytest.raises(re.error):
        BadgeParser(BadgeFormat(pattern="("))
    with pytest.raises(ValueError, match="at least 3"):
        BadgeParser(BadgeFormat(shortest=2))


# -- any order of things ---------------------------------------------------------------------------

TOKENS = st.text(string.digits + string.ascii_letters + "-_äß", min_size=4, max_size=40)
PRESSES = st.tuples(
    st.one_of(st.sampled_from("\r\n\t 0123456789ab"), st.text(max_size=2)),
    st.one_of(st.floats(0, 0.2), st.floats(allow_nan=True, allow_infinity=True), st.just(FORM.gap)),
)


@given(
    st.lists(PRESSES, max_size=200), st.sampled_from([FORM, BadgeFormat(prefix="0", suffix="b")])
)
def test_whatever_is_pressed_nothing_raises_and_no_key_is_given_back_twice(presses, form):
    keyboard = Keyboard(form)
    keys = [keyboard.press(character, after) for character, after in presses]
    keyboard.rest()
    numbers = [number for number, _ in keyboard.typed]
    assert numbers == sorted(set(numbers))
    assert set(keyboard.typed) <= set(keys)
    assert all(len(token) >= form.shortest for token in keyboard.tokens)


SCAN = st.tuples(st.just("scan"), TOKENS)
TYPING = st.tuples(st.just("typing"), st.text("abc123\r\t ", min_size=1, max_size=12))
HALF = st.tuples(st.just("half"), TOKENS)
NOISE = st.tuples(st.just("long"), st.integers(129, 2000))


@given(st.lists(st.one_of(SCAN, TYPING, HALF, NOISE), max_size=25))
def test_scans_are_tokens_and_typing_is_typing_in_any_order(acts):
    keyboard = Keyboard(BadgeFormat(debounce=0))
    scanned, typed = [], []
    for act, what in acts:
        keyboard.at += REST
        if act == "scan":
            keyboard.scan(what)
            scanned.append(what)
        elif act == "typing":
            typed += keyboard.write(what)
        elif act == "half":
            keyboard.press(what[0], SLOW)
            keyboard.write(what[1:], FAST)
        else:
            keyboard.scan("7" * what)
    keyboard.rest()
    assert keyboard.tokens == scanned
    assert keyboard.typed == typed


@given(st.lists(TOKENS, max_size=20), st.sampled_from(["\r", "\t", "\r\n"]))
def test_scans_back_to_back_are_each_read_once(tokens, end):
    keyboard = Keyboard()
    for token in tokens:
        keyboard.scan(token, end, after=FAST)
    assert keyboard.tokens == list(dict.fromkeys(tokens))
    assert keyboard.typed == []


@given(TOKENS, st.integers(1, 39), st.floats(0.051, REST - 0.01))
def test_a_scan_with_a_pause_in_it_is_never_another_badge(token, where, pause):
    keyboard = Keyboard()
    for number, character in enumerate(token + "\r"):
        keyboard.press(character, pause if number == where else FAST)
    keyboard.rest()
    assert keyboard.tokens == ([token] if where > len(token) else [])
