"""What is wrong with a setting, in the words of whoever writes the settings."""

from __future__ import annotations

import re

_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a section with settings of its own",
}
_TYPE = re.compile(r"`(\w+)`")


def plain(message: str) -> tuple[str, str]:
    """The setting and the problem in a message of msgspec's; the setting is "" for the whole."""
    text, _, place = message.partition(" - at `$")
    place = place.strip("`").lstrip(".")
    if text.startswith("Expected "):
        text = "must be " + text.removeprefix("Expected ").replace(", got ", ", not ")
        return place, _TYPE.sub(lambda found: _WORDS.get(found[1], found[0]), text)
    text = text.replace("Object contains unknown field", "unknown setting")
    return place, text.replace("Object missing required field", "lacks the setting")
