"""Makes foreign text safe to show. Names may contain bytes that are not text, escape sequences, or formulas."""

import re
import unicodedata

# Unicode categories on which a terminal or a browser acts, or that can't be written as UTF-8.
_ACTING = ("Cc", "Cs", "Zl", "Zp")
# These change the direction of the text around them, so that one name looks like another.
_TURNING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Spreadsheets run cells that begin with these characters. An apostrophe before them prevents that and is not shown.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")


def printable(text: object, *, keep: str = "") -> str:
    """Returns a text in which escapes like `\\x1b` replace control characters and bytes that are not UTF-8."""
    return "".join(each if each in keep or _is_harmless(each) else _escaped(each) for each in str(text))


def is_printable(text: str, *, keep: str = "") -> bool:
    """Tells whether a text can be shown and written unchanged, apart from the characters to `keep`."""
    return all(each in keep or _is_harmless(each) for each in text)


def as_cell(text: object) -> str:
    """Returns a cell of a CSV file. A formula gets an apostrophe before it, so that spreadsheets take it for text."""
    word = str(text)
    return f"'{word}" if _FORMULA.match(word) and not _NUMBER.fullmatch(word) else word


def of_cell(word: str) -> str:
    """Returns the text from which `as_cell` made a cell."""
    return word[1:] if word.startswith("'") and _FORMULA.match(word) else word


def _is_harmless(character: str) -> bool:
    return " " <= character <= "~" or (unicodedata.category(character) not in _ACTING and character not in _TURNING)


def _escaped(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # This is how Python stores a byte that is not UTF-8.
        return f"\\x{number - 0xDC00:02x}"
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
