"""Changes files and values as damage and malice do, from a seed: what benchmarks/robustness/changed_files.py tries."""

import json
import random
import struct
from collections.abc import Callable
from typing import Any

# Numbers at which readers go wrong.
EXTREMES = (0, 1, -1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, 10**12, 10**30)
# Texts at which those go wrong that print them, put them into paths, or take them for something else.
ODD_TEXTS = (
    *("", " ", "\0", "\x1b[31mred\x1b[0m", "\u202egnp.exe", "../../etc/passwd", "/etc/passwd", "=cmd|' /C calc'!A0"),
    *("{number:999999999d}", "{folder.__class__}", "$(touch canary)", "`touch canary`", "a" * 5000, "NaN", "1e999"),
    *("\ud800", "%s%s%n", "<script>alert(1)</script>", "[bold]x[/nothing]", "-rf", "\u00e9\u0301", "\r\n", "nul"),
)


def changed_bytes(content: bytes, chance: random.Random) -> bytes:
    """Returns the content with a few changes: of bits, bytes, numbers and stretches, or cut off."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 3, 8, 40))):
        if not data:
            return bytes(chance.randbytes(chance.randrange(64)))
        place = chance.randrange(min(len(data), 4096) if chance.random() < 0.6 else len(data))
        match chance.randrange(8):
            case 0:
                data[place] ^= 1 << chance.randrange(8)
            case 1:
                data[place] = chance.randrange(256)
            case 2:
                data[place:place] = chance.randbytes(chance.choice((1, 4, 300)))
            case 3:
                del data[place : place + chance.choice((1, 4, 300))]
            case 4:
                del data[place:]
            case 5:
                number = chance.choice(EXTREMES) % 2**64
                size = chance.choice((2, 4, 8))
                data[place : place + size] = struct.pack(chance.choice("<>") + "Q", number)[:size]
            case 6:
                other = chance.randrange(len(data))
                data[place : place + 64] = data[other : other + 64]
            case _:
                data[place : place + 64] = bytes(64)
    return bytes(data)


def changed_json(text: str, chance: random.Random) -> str:
    """Returns JSON with a few values, names or types changed; sometimes it is no JSON any more."""
    if chance.random() < 0.1:
        odd = ("[]", "{}", "null", "1", '"x"', "", "[" * 100_000, "{" * 50, "\x1b", text[: len(text) // 2], text * 2)
        return chance.choice(odd)
    value = json.loads(text)
    for _ in range(chance.choice((1, 1, 2, 4))):
        value = _changed_value(value, chance)
    return json.dumps(value)


def changed_table(text: str, chance: random.Random) -> str:
    """Returns a CSV, or another list of lines, with cells and lines changed."""
    lines = text.splitlines()
    for _ in range(chance.choice((1, 1, 2, 5))):
        place = chance.randrange(len(lines)) if lines else 0
        separator = "," if "," in text else " "
        cells = lines[place].split(separator) if lines else []
        match chance.randrange(7):
            case 0 if cells:
                cells[chance.randrange(len(cells))] = str(_odd(chance))
            case 1 if cells:
                del cells[chance.randrange(len(cells))]
            case 2:
                cells.insert(chance.randrange(len(cells) + 1), str(_odd(chance)))
            case 3 if lines:
                lines.insert(place, lines[chance.randrange(len(lines))])
            case 4 if lines:
                del lines[place]
                continue
            case 5 if cells:
                cells = [*cells, *cells] * 50
            case _:
                cells = [str(_odd(chance))]
        if lines:
            lines[place] = separator.join(cells)
    return "\n".join(lines) + chance.choice(("\n", "", "\0", '"', "\n\n"))


def odd_name(chance: random.Random) -> bytes:
    """Returns a file name that systems allow and programs stumble over."""
    pieces = [
        b"\xff\xfe",
        b"\x1b[2J",
        b"\n",
        b"=cmd|x",
        b"'",
        b'"',
        b"[red]",
        b"$HOME",
        b"%d",
        b"*",
        "ü".encode(),
        "\u202e".encode(),
        b" ",
        b"-",
        b"#",
        b"a" * chance.choice((1, 100, 180)),
        b"\xc3(",
        b"|",
        b";touch canary;",
        b"{x}",
        b":",
        b"\\",
        b"\t",
    ]
    return b"".join(chance.choice(pieces) for _ in range(chance.randint(1, 4)))[:200]


def _odd(chance: random.Random) -> Any:
    kinds: tuple[Callable[[], Any], ...] = (
        lambda: chance.choice(EXTREMES),
        lambda: chance.choice(ODD_TEXTS),
        lambda: chance.choice((None, True, [], {}, 0.5, -0.5, 1e308, float("nan"), float("inf"))),
        lambda: [chance.choice(EXTREMES)] * chance.choice((1, 3, 500)),
        lambda: {"x": chance.choice(ODD_TEXTS)},
    )
    return chance.choice(kinds)()


def _changed_value(value: Any, chance: random.Random) -> Any:
    if isinstance(value, dict) and value and chance.random() < 0.9:
        name = chance.choice(list(value))
        match chance.randrange(6):
            case 0:
                return {each: inner for each, inner in value.items() if each != name}
            case 1:
                return {**value, str(chance.choice(ODD_TEXTS)): _odd(chance)}
            case _:
                return {**value, name: _changed_value(value[name], chance)}
    if isinstance(value, list) and value and chance.random() < 0.7:
        place = chance.randrange(len(value))
        if chance.random() < 0.2:
            return value[:place]
        return [*value[:place], _changed_value(value[place], chance), *value[place + 1 :]]
    return _odd(chance)
