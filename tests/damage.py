"""Damage by machine: one small change to a file, as a disk, an editor, a script or another program makes it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

Damage = Callable[[bytes, random.Random], bytes]
_NESTED = "\x00nested\x00"
"""Stands for brackets within brackets, which no writer of JSON makes so deep."""
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 10**30, -(10**30), 2**63, 1e308, 5e-324),
    *(float("nan"), float("inf"), float("-inf")),
    *("", " ", "x", "0", "nan", "\x00", "\x1b[31m", "a\nb", "\ud800", "\u202e", "../../etc", "é" * 300),
    *([], {}, [None], [[]], {"": None}, {"x": 1}, [1, "a", None], ["", ""], [0, 0], [5, 1]),
)
"""What a leaf, or a whole branch, is set to."""


def flip_bit(data: bytes, noise: random.Random) -> bytes:
    place = noise.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << noise.randrange(8)]) + data[place + 1 :]


def change_byte(data: bytes, noise: random.Random) -> bytes:
    place = noise.randrange(len(data))
    return data[:place] + bytes([noise.randrange(256)]) + data[place + 1 :]


def cut_end(data: bytes, noise: random.Random) -> bytes:
    return data[: noise.randrange(len(data))]


def cut_out(data: bytes, noise: random.Random) -> bytes:
    start = noise.randrange(len(data))
    return data[:start] + data[start + noise.choice((1, 2, 7, 100)) :]


def insert(data: bytes, noise: random.Random) -> bytes:
    place = noise.randrange(len(data) + 1)
    more = noise.choice(
        (b"\0", b"\n", b'"', b",", b"{", b"]", b"\xff\xfe", b"\xef\xbb\xbf", b"9", b"-", b"\r", b"\xc3")
    )
    return data[:place] + more * noise.choice((1, 1, 1, 40)) + data[place:]


def zeros(data: bytes, noise: random.Random) -> bytes:
    """A block of the disk that was never written."""
    place = noise.randrange(len(data))
    size = min(noise.choice((1, 16, 512)), len(data) - place)
    return data[:place] + bytes(size) + data[place + size :]


def _of_lines(change: Callable[[list[bytes], random.Random], object]) -> Damage:
    def damage(data: bytes, noise: random.Random) -> bytes:
        lines = data.splitlines(keepends=True)
        change(lines, noise)
        return b"".join(lines)

    damage.__name__ = change.__name__
    return damage


def swap_lines(lines: list[bytes], noise: random.Random) -> None:
    one, other = noise.randrange(len(lines)), noise.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]


def drop_line(lines: list[bytes], noise: random.Random) -> None:
    lines.pop(noise.randrange(len(lines)))


def double_line(lines: list[bytes], noise: random.Random) -> None:
    lines.insert(noise.randrange(len(lines) + 1), noise.choice(lines))


def empty_line(lines: list[bytes], noise: random.Random) -> None:
    lines.insert(noise.randrange(len(lines) + 1), b"\n")


BYTES: tuple[Damage, ...] = (flip_bit, change_byte, cut_end, cut_out, insert, zeros)
LINES: tuple[Damage, ...] = tuple(map(_of_lines, (swap_lines, drop_line, double_line, empty_line)))


def _branches(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of everything inside a value."""
    found = [(value, key) for key in (value if isinstance(value, dict) else range(len(value)))]
    for container, key in list(found):
        if isinstance(container[key], dict | list):
            found += _branches(container[key])
    return found


def spoil(value: Any, noise: random.Random) -> Any:
    """A parsed value with one thing in it changed; the value itself is changed."""
    holder = [value]
    container, key = noise.choice(_branches(holder))
    if isinstance(container[key], dict) and container[key] and noise.random() < 0.6:  # its keys, more often than it
        container, key = container[key], noise.choice(list(container[key]))
    what = noise.randrange(8)
    if what == 0 and isinstance(container, dict):
        del container[key]
    elif what == 1 and isinstance(container, dict):
        container[noise.choice((f"{key}x", "", "id", key.upper() if isinstance(key, str) else "x"))] = container.pop(
            key
        )
    elif what == 2 and isinstance(container, list) and container is not holder:
        container.insert(noise.randrange(len(container) + 1), container[key])
    elif what == 3 and isinstance(container, list) and container is not holder:
        del container[key]
    elif what == 4:
        container[key] = noise.choice(([container[key]], {"x": container[key]}, str(container[key])))
    elif what == 5:
        container[key] = _NESTED + noise.choice(("60", "500", "2000", "5000"))
    else:
        container[key] = noise.choice(VALUES)
    return holder[0]


def _dump(value: Any) -> str:
    """JSON, with NaN and Infinity as Python writes them."""
    text = json.dumps(value, ensure_ascii=True)
    for depth in (60, 500, 2000, 5000):
        text = text.replace(json.dumps(f"{_NESTED}{depth}"), "[" * depth + "]" * depth)
    return text


def spoil_json(data: bytes, noise: random.Random) -> bytes:
    return _dump(spoil(json.loads(data), noise)).encode()


def spoil_jsonl(data: bytes, noise: random.Random) -> bytes:
    lines = data.splitlines()
    place = noise.randrange(len(lines))
    lines[place] = _dump(spoil(json.loads(lines[place]), noise)).encode()
    return b"\n".join(lines) + b"\n"


def spoil_yaml(data: bytes, noise: random.Random) -> bytes:
    return _dump(spoil(yaml.safe_load(data), noise)).encode()  # JSON is YAML


def spoil_csv(data: bytes, noise: random.Random) -> bytes:
    lines = data.splitlines()
    place = noise.randrange(len(lines))
    cells = lines[place].split(b",")
    cells[noise.randrange(len(cells))] = noise.choice(
        (
            b"",
            b" ",
            b"-1",
            b"0",
            b"1e999",
            b"nan",
            b"9" * 30,
            b"9" * 5000,
            b'"',
            b'"a"b',
            b"\x1b",
            b"\x00",
            b"a,b",
            b"x",
        )
    )
    lines[place] = b",".join(cells)
    return b"\n".join(lines) + b"\n"


STRUCTURED: dict[str, Damage] = {
    ".json": spoil_json,
    ".jsonl": spoil_jsonl,
    ".yaml": spoil_yaml,
    ".csv": spoil_csv,
}
BINARY = (".parquet", ".npy", "")


def damaged(data: bytes, suffix: str, noise: random.Random) -> tuple[str, bytes]:
    """(what was done, the damaged content) of a file that is not empty.

    Args:
        data: its content.
        suffix: of its name, which says what it holds.
        noise: decides what is done.
    """
    kinds: Sequence[Sequence[Damage]] = [BYTES] if suffix in BINARY else [BYTES, LINES]
    if suffix in STRUCTURED and noise.random() < 0.6:
        kinds = [[STRUCTURED[suffix]]]
    damage = noise.choice(noise.choice(kinds))
    return damage.__name__, damage(data, noise)


def files_of(folder: Path) -> dict[Path, bytes]:
    """All files below, with their content."""
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def put_back(folder: Path, sound: dict[Path, bytes]) -> None:
    """Make the folder's files what they were."""
    for path, data in files_of(folder).items():
        if path not in sound:
            path.unlink()
        elif data != sound[path]:
            path.write_bytes(sound[path])
    for path in sound.keys() - files_of(folder).keys():
        path.write_bytes(sound[path])
