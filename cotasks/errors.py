"""The one exception that users see as a single line."""

from __future__ import annotations


class InputError(ValueError):
    """Something given to the program is wrong.

    The message is one line that names the place (file, line or key), the value found and what was expected.
    `reason` is the short phrase under which a skipped record is counted; it holds no values, so that equal
    faults add up.
    """

    def __init__(self, message: str, reason: str = "invalid input") -> None:
        super().__init__(" ".join(message.split()))
        self.reason = reason


class MissingExtra(InputError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; run: pip install 'cotasks[{extra}]'", "missing package")


def shorten(value: object, limit: int = 80) -> str:
    """`repr(value)`, cut to `limit` characters, for use inside a one-line message."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
