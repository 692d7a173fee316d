"""Where an OpenAI-compatible server is, and the key for it. Keys come from the environment alone, and are never shown.

Needs no client library.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from cotasks.errors import InputError, shorten

OPENAI_URL = "https://api.openai.com/v1"
_SECRET = re.compile(
    r"[@?#;=]|%40|%3f"
    r"|[/:](?:sk|hf|gsk|xai|key|token)[-_][\w-]{8,}"
    r"|/(?=[\w-]*\d)(?=[\w-]*[a-z])[\w-]{32,}",
    re.IGNORECASE,
)
"""What an address may hold a secret in: a user and password, a query, a fragment or parameters, whether or not the rest
of it is sound; and parts of its path that look like a key."""


def server_url(base_url: str) -> str:
    """An address without blanks around it and a slash at its end.

    Raises InputError where it is none, or holds a secret, which is not shown.
    """
    url = base_url.strip().rstrip("/")
    secret, sound = _examine(url)
    if secret:
        raise InputError(
            "base URL: holds a password, a query or what looks like a key; expected http(s)://host/path, "
            "the key in OPENAI_API_KEY"
        )
    if not sound:
        raise InputError(f"base URL {shorten(url)}; expected http(s)://host/path, such as {OPENAI_URL}")
    return url


def server_urls(given: str | Sequence[str]) -> tuple[str, ...]:
    """The addresses of servers that have one model, each as of `server_url`, the same one once.

    Raises InputError as `server_url` does, where there is none, and where OpenAI's own servers stand beside others:
    those are asked in other words, and their key is for them alone.
    """
    urls = tuple(dict.fromkeys(map(server_url, [given] if isinstance(given, str) else given)))
    if not urls:
        raise InputError(f"no base URL; expected one or more, such as {OPENAI_URL}")
    if len({is_openai(url) for url in urls}) > 1:
        raise InputError(f"base URLs {', '.join(urls)}: OpenAI's beside others; expected servers of one kind")
    return urls


def named_urls(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """The addresses that a user names, see `server_urls`; by default that of OPENAI_BASE_URL, else OpenAI's."""
    return server_urls(given or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL)


def is_openai(base_url: str) -> bool:
    """Whether a server is OpenAI's own, or Azure's: it needs a key, and its newer models refuse `max_tokens`."""
    return (urlsplit(base_url).hostname or "").endswith(("openai.com", "azure.com"))


def longest_answer_field(base_url: str) -> str:
    """What a request calls the most tokens of its answer."""
    return "max_completion_tokens" if is_openai(base_url) else "max_tokens"


def api_key(base_url: str) -> str:
    """The environment's OPENAI_API_KEY, or a word where a server other than OpenAI's may need none.

    Raises InputError, which never shows it, where it is missing or cannot be sent.
    """
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if not key:
        if is_openai(base_url):
            raise InputError(f"OPENAI_API_KEY is not set in the environment; expected the key for {base_url}")
        return "none"
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise InputError("OPENAI_API_KEY holds a blank or a character that no header can carry; expected a key")
    return key


def _examine(url: str) -> tuple[bool, bool]:
    """(whether an address holds what may be secret, whether calls can be sent there)."""
    secret = bool(_SECRET.search(url))
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 0) >= 0
    except ValueError:
        return secret, False
    return secret, sound and url.isprintable() and " " not in url
