"""Reading a pickle of a plain dict without unpickling it: nothing is imported, built or called."""

from __future__ import annotations

import pickletools
from typing import Any

from cotasks.errors import InputError, shorten

# fmt: off
_PUSH = frozenset((
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "FLOAT", "BINFLOAT",
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4",
))
# fmt: on
"""Opcodes whose argument is a str, float or int that goes on the stack."""
_MARK = object()


def read_plain_pickle(data: bytes, place: str) -> dict[str, float | int]:
    """The dict of str -> float or int (64 bits at most) that a pickle of any protocol (0 to 5) holds.

    The opcodes are read one by one and only those of such a dict are known here: nothing is imported, built
    or called.

    Raises InputError naming opcode and byte for any other opcode, another structure, or damage.
    """
    stack: list[Any] = []
    memo: dict[Any, Any] = {}
    name, position = "start", 0

    def refuse(what: str) -> InputError:
        expected = "expected a pickle of a plain dict of numbers by name"
        return InputError(f"{place}: {what} at byte {position}; {expected}")

    def pop_to_mark() -> list[Any]:
        items: list[Any] = []
        while (item := stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def fill(target: Any, items: list[Any]) -> None:
        if type(target) is not dict or len(items) % 2:
            raise refuse(f"opcode {name} without a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) is not str or type(value) not in (int, float):
                raise refuse(f"entry {shorten(key, 40)}: {shorten(value, 40)}")
            if type(value) is int and value.bit_length() > 64:
                raise refuse(f"entry {shorten(key, 40)} with a number of {value.bit_length()} bits")
            if key in target:
                raise refuse(f"second entry {shorten(key)}")
            target[key] = value

    try:
        for opcode, argument, at in pickletools.genops(data):
            name, position = opcode.name, at or 0
            if name in _PUSH:
                stack.append(argument)
            elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
                memo[argument] = stack[-1]
            elif name == "MEMOIZE":
                memo[len(memo)] = stack[-1]
            elif name in ("BINGET", "LONG_BINGET", "GET"):
                stack.append(memo[argument])
            elif name == "MARK":
                stack.append(_MARK)
            elif name == "EMPTY_DICT":
                stack.append({})
            elif name == "DICT":
                items = pop_to_mark()
                stack.append({})
                fill(stack[-1], items)
            elif name == "SETITEM":
                value, key = stack.pop(), stack.pop()
                fill(stack[-1], [key, value])
            elif name == "SETITEMS":
                items = pop_to_mark()
                fill(stack[-1], items)
            elif name not in ("PROTO", "FRAME", "STOP"):
                raise refuse(f"opcode {name}")
    except (IndexError, KeyError):
        raise refuse(f"opcode {name} without its operands") from None
    except InputError:
        raise
    except ValueError as error:  # genops: not an opcode, cut short, not a number
        raise refuse(f"damage ({shorten(str(error))}) after opcode {name}") from None
    if len(stack) != 1 or type(stack[0]) is not dict:
        raise refuse(f"{len(stack)} values instead of one dict")
    if position + 1 != len(data):
        raise refuse(f"{len(data) - position - 1} bytes after the end")
    return stack[0]
