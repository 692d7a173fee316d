"""The exceptions that users see as a single line: what they gave is wrong, or the machine is."""

from __future__ import annotations

import errno


class CotasksError(ValueError):
    """Something that whoever runs the program can mend.

    The message is one line. `reason` is the short phrase under which equal faults are counted; it holds no values, so
    that they add up.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(" ".join(message.split()))
        self.reason = reason


class InputError(CotasksError):
    """Something given to the program is wrong.

    The message names the place (file, line or key), the value found and what was expected. Under its `reason` a skipped
    record is counted.
    """

    def __init__(self, message: str, reason: str = "invalid input") -> None:
        super().__init__(message, reason)


class EnvironmentFault(CotasksError):
    """Something is wrong with the machine: it stops the command, and no record is skipped for it."""

    def __init__(self, message: str, reason: str = "fault of the machine") -> None:
        super().__init__(message, reason)


class MissingExtra(EnvironmentFault):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str | None = None) -> None:
        """`package` is missing, and `extra` brings it; without one, `package` is the whole message, as where another
        process hands the exception on."""
        message = package if extra is None else f"{package} is not installed; run: pip install 'cotasks[{extra}]'"
        super().__init__(message, "missing package")


MACHINE_ERRORS = frozenset(
    number
    for name in (
        *("ENOSPC", "EDQUOT", "EROFS"),  # no room, nothing may be written
        *("EMFILE", "ENFILE"),  # too many open files
        *("EACCES", "EPERM"),  # not allowed
        *("ESTALE", "ENOTCONN", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH"),  # a file server is gone
    )
    if (number := getattr(errno, name, None)) is not None
)
"""Errors of the operating system that say nothing about what a file holds. EIO and ENOMEM are not among them: FFmpeg
gives both for damaged files."""


def stop_at_environment_fault(error: BaseException, place: object = None) -> None:
    """Raise EnvironmentFault where an error says something about the machine and nothing about the data: a package that
    is missing or broken, or one of MACHINE_ERRORS. Whoever turns errors into skipped records asks here first.

    Args:
        error: what was caught.
        place: file or record that was at hand, for the message.
    """
    if isinstance(error, EnvironmentFault):
        raise error
    where = "" if place is None else f"{place}: "
    if isinstance(error, ImportError):
        raise EnvironmentFault(f"{where}{error}; expected a package that can be imported", "missing package") from error
    if isinstance(error, OSError) and error.errno in MACHINE_ERRORS:
        raise EnvironmentFault(f"{where}{error.strerror or error}; run the same command again when that is mended")


def shorten(value: object, limit: int = 80) -> str:
    """`repr(value)`, cut to `limit` characters, for use inside a one-line message."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
