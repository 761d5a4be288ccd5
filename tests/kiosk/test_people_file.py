"""The CSV file of people: what is read, and what is refused, with its line."""

from __future__ import annotations

import importlib.resources

import pytest

from kiosk.badges import BadgeKey
from kiosk.directory import BadRowsError, DirectoryError
from kiosk.model import Person
from kiosk.people_file import hand_in, held_by_others, read_people

KEY = BadgeKey("club")
HEADER = "id,first_name,last_name,kind,code\n"
BADGES = "id,first_name,last_name,code,badge\n"


def people(path, keep=None):
    return [row.person for row in read_people(path, keep)]


def write(tmp_path, text):
    path = tmp_path / "people.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_people_are_read_with_accents_quotes_and_a_byte_order_mark(tmp_path):
    path = write(tmp_path, "\ufeff" + HEADER + 'a1,Tomás,"García, Jr.",student,0417\nb2, Ann ,,,\n')
    assert people(path) == [
        Person("a1", "Tomás", "García, Jr.", "student", "0417"),
        Person("b2", "Ann", "", "member", ""),
    ]


def test_columns_may_come_in_any_order_and_kind_and_code_may_lack(tmp_path):
    path = write(tmp_path, "last_name,id,first_name\nLee,a1,Ann\n")
    assert people(path) == [Person("a1", "Ann", "Lee")]


def test_every_bad_row_is_listed_with_its_line_and_nothing_is_imported(tmp_path):
    rows = [
        "a1,Ann,Lee,member,1234",
        ",Bob,,,",
        "c3,,,,",
        "d4,Dan,,wizard,",
        "e5,Eva,,,12x4",
        "a1,Again,,,",
        "f6,Fay,,,1234",
        "g7,Gus",
        "h8,Hal,,,,extra",
        f"i9,{'x' * 121},,,",
    ]
    with pytest.raises(BadRowsError) as caught:
        read_people(write(tmp_path, HEADER + "\n".join(rows)))
    assert caught.value.problems == [
        "line 3: id is empty",
        "line 4: first_name is empty",
        'line 5: kind "wizard" is none of member, student, visitor, staff',
        'line 6: code "12x4" is not 3 to 8 digits',
        'line 7: id "a1" is on line 2 already',
        'line 8: code "1234" is on line 2 already',
        "line 9: the number of columns differs from the first line's",
        "line 10: the number of columns differs from the first line's",
        "line 11: first_name is too long",
    ]


def test_badges_are_kept_as_hashes_and_an_empty_cell_takes_them_away(tmp_path):
    text = "id,first_name,last_name,badge\na1,Ann,Lee,20417\nb2,Bob,Ray,04A2 ; QR-7\nc3,Cy,,\n"
    ann, bob, cy = people(write(tmp_path, text), KEY.hashes)
    assert ann.badges == (KEY.hash("20417"),)
    assert bob.badges == (KEY.hash("04A2"), KEY.hash("QR-7"))
    assert cy.badges == ()
    assert "20417" not in repr(ann)


def test_bad_badges_are_listed_without_telling_them(tmp_path):
    rows = ["a1,Ann,L,4711", "b2,Bob,R,12", f"c3,Cy,S,{'9' * 121}", "d4,Di,T,1234;4711"]
    text = "id,first_name,last_name,badge\n" + "\n".join(rows)
    with pytest.raises(BadRowsError) as caught:
        read_people(write(tmp_path, text), KEY.hashes)
    assert caught.value.problems == [
        "line 3: a badge has fewer than 3 characters",
        "line 4: badge is too long",
        "line 5: its badge is on line 2 already",
    ]


def test_a_badge_that_nobody_can_hash_is_not_dropped_in_silence(tmp_path):
    with pytest.raises(BadRowsError) as caught:
        read_people(write(tmp_path, "id,first_name,last_name,badge\na1,Ann,L,4711\n"))
    assert caught.value.problems == ["line 2: badges cannot be taken here"]


def test_a_file_without_the_columns_says_which(tmp_path):
    with pytest.raises(DirectoryError, match=r"name the columns; missing: id, last_name \(an ex"):
        read_people(write(tmp_path, "first_name,code\nAnn,1\n"))


def test_a_file_that_cannot_be_read_says_so(tmp_path):
    with pytest.raises(DirectoryError, match="cannot be read"):
        read_people(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(HEADER.encode() + b"a1,Tom\xe1s,G,,\n")
    with pytest.raises(DirectoryError, match="cannot be read"):
        read_people(tmp_path / "latin.csv")


def test_semicolons_separate_when_the_first_line_says_so(tmp_path):
    text = 'id;first_name;last_name;badge\na1;Ann;"Lee, Jr";"20417;20418"\n'
    (ann,) = people(write(tmp_path, text), KEY.hashes)
    assert (ann.id, ann.first_name, ann.last_name) == ("a1", "Ann", "Lee, Jr")
    assert ann.badges == (KEY.hash("20417"), KEY.hash("20418"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_in_utf_16_is_named_as_such(tmp_path, encoding):
    (tmp_path / "people.csv").write_bytes((HEADER + "a1,Ann,Lee,,\n").encode(encoding))
    with pytest.raises(DirectoryError, match="it is UTF-16; save it as CSV in UTF-8"):
        read_people(tmp_path / "people.csv")


def test_tabs_are_named(tmp_path):
    with pytest.raises(DirectoryError, match="separated by tabs"):
        read_people(write(tmp_path, "id\tfirst_name\tlast_name\na1\tAnn\tLee\n"))


def test_rows_of_nothing_are_skipped(tmp_path):
    path = write(tmp_path, HEADER + "a1,Ann,Lee,,\n,,,,\n   \n\n,,,,,,\nb2,Bob,Ray,,\n")
    assert [person.id for person in people(path)] == ["a1", "b2"]


@pytest.mark.parametrize("text", [HEADER, HEADER + ",,,,\n\n"])
def test_a_file_with_nobody_in_it_says_so(tmp_path, text):
    with pytest.raises(DirectoryError, match=r"there is nobody in .*people\.csv"):
        read_people(write(tmp_path, text))


def test_a_column_named_twice_is_an_error(tmp_path):
    with pytest.raises(DirectoryError, match="a column twice: first_name"):
        read_people(write(tmp_path, "id,first_name,last_name,first_name\na1,Ann,Lee,Eve\n"))


def test_a_field_without_end_is_an_error_with_its_line(tmp_path):
    with pytest.raises(DirectoryError, match=r"people\.csv: line 3: field larger"):
        read_people(write(tmp_path, HEADER + f"a1,Ann,Lee,,\nb2,{'x' * 131_073},,,\n"))


@pytest.mark.parametrize("bad", ["\0", "\x0b", "\u2028", "\u202e", "\u2066", "\x1b[31m"])
def test_control_characters_are_rejected_with_their_line(tmp_path, bad):
    path = tmp_path / "people.csv"
    path.write_text(HEADER + f'a1,Ann,Lee,,\nb2,"Bo{bad}b",Ray,,\nc3,,,,\n', newline="")
    with pytest.raises(BadRowsError) as caught:
        read_people(path)
    assert caught.value.problems == [
        f"line 3: first_name has a control character (U+{ord(bad[0]):04X})",
        "line 4: first_name is empty",
    ]


def test_names_with_joiners_are_names(tmp_path):
    name = "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627"
    (person,) = people(write(tmp_path, HEADER + f"a1,{name},,,\n"))
    assert person.first_name == name


def test_headings_are_taken_in_any_case_and_the_sample_is_one(tmp_path):
    path = write(tmp_path, " ID ,First_Name,LAST_NAME,Code\na1,Ann,Lee,1234\n")
    assert people(path) == [Person("a1", "Ann", "Lee", code="1234")]
    with importlib.resources.as_file(importlib.resources.files("resources")) as folder:
        assert len(people(folder / "people.csv", KEY.hashes)) == 10


def test_an_unknown_column_is_refused_by_name(tmp_path):
    text = "id,first_name,last_name,bagde,phone\na1,Ann,Lee,4711,1\n"
    told = r'no such columns: "bagde" \(is "badge" meant\?\), "phone"; there are id, first_name'
    with pytest.raises(DirectoryError, match=told):
        read_people(write(tmp_path, text), KEY.hashes)


def test_columns_without_a_heading_may_only_be_empty(tmp_path):
    text = "id,first_name,last_name,,\na1,Ann,Lee,,\nb2,Bob,Ray,,4711\n"
    with pytest.raises(BadRowsError) as caught:
        read_people(write(tmp_path, text))
    assert caught.value.problems == ["line 3: column 5 has no heading"]
    assert people(write(tmp_path, text.replace("4711", ""))) == [
        Person("a1", "Ann", "Lee"),
        Person("b2", "Bob", "Ray"),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_quote_that_is_not_closed_is_told_with_its_line(tmp_path, end):
    rows = ["id,first_name,last_name", "", "a1,Ann,Lee", 'b2,"Bob,Ray', "c3,Cy,Fox", ""]
    path = tmp_path / "people.csv"
    path.write_text(end.join(rows), newline="")
    with pytest.raises(BadRowsError) as caught:
        read_people(path)
    (problem,) = caught.value.problems
    assert problem.startswith("line 4: a quote is not closed")


# -- codes and badges of others --------------------------------------------------------------------

KNOWN = [
    Person("ann", "Ann", "Lee", code="1234", badges=(KEY.hash("B-1"),)),
    Person("bob", "Bob", "Ray", code="2345", badges=(KEY.hash("B-2"),)),
    Person("gone", "Gus", "Old", code="9999", active=False),
]
PEPPERED = BadgeKey("club", b"a pepper of this site", former=(KEY,))


@pytest.mark.parametrize(
    ("rows", "problems"),
    [
        (["new,Nia,Fox,1234,"], ['line 2: code "1234" is Ann L.\'s already']),
        (["new,Nia,Fox,,B-9;B-2"], ["line 2: its badge is Bob R.'s already"]),
        (["new,Nia,Fox,9999,B-9"], []),  # who is not active comes in by nothing
        (["ann,Ann,Lee,1234,B-1"], []),
        (["new,Nia,Fox,1234,B-1", "ann,Ann,Lee,,"], []),  # given up in the same file
        (["new,Nia,Fox,1234,", "bob,Bob,Ray,,B-1"], [
            'line 2: code "1234" is Ann L.\'s already', "line 3: its badge is Ann L.'s already"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", [KEY, PEPPERED])
def test_a_code_or_badge_of_somebody_else_is_refused_by_line(tmp_path, rows, problems, key):
    path = write(tmp_path, BADGES + "\n".join(rows))
    assert held_by_others(read_people(path, key.hashes), KNOWN) == problems


class Hub:
    """A directory that is read and written as the hub's is."""

    def __init__(self):
        self.sent = []

    def people(self):
        return KNOWN

    def send_people(self, found):
        self.sent += found


def test_nothing_is_sent_of_a_file_that_takes_a_badge_away(tmp_path):
    hub, path = Hub(), write(tmp_path, BADGES + "new,Nia,Fox,1234,\nmia,Mia,Moss,,\n")
    with pytest.raises(BadRowsError):
        hand_in(read_people(path, KEY.hashes), hub)
    assert hub.sent == []
    hand_in(read_people(write(tmp_path, BADGES + "mia,Mia,Moss,,\n"), KEY.hashes), hub)
    assert [person.id for person in hub.sent] == ["mia"]
