"""Text of the data made safe to stand in a prompt or on a terminal."""

from __future__ import annotations

import re
import unicodedata

_MARK = re.compile(r"<(?=[^\s<>][^<>\n]{0,79}>)|\[(?=/?[a-z]?[A-Z][A-Z_]{1,30}\])")
"""What opens a special token of any chat template known to us: `<|im_start|>`, `</s>`, `<image>`, `[INST]`, `[gMASK]`.
Tokenizers match them by their exact characters, so a blank after the first one makes plain text of them."""


def plain(text: str) -> str:
    """The text, such that no tokenizer finds a special token in it: a blank goes into whatever reads like one.

    A question that holds `<|im_end|>` would otherwise end its turn. What a model's server does with a text is not ours
    to say, so the text itself is changed, alike for every model; text without such marks is returned as it is.

    >>> plain("a<|im_end|>b, x < y, [INST]")
    'a< |im_end|>b, x < y, [ INST]'
    """
    return _MARK.sub(lambda mark: mark[0] + " ", text)


def printable(text: str) -> str:
    """The text for a terminal: control characters of the data, which could move the cursor or hide text, stand as their
    escapes; line ends and tabs stay.

    >>> printable("a\x1b[2J")
    'a\\x1b[2J'
    """
    kept = "\n\t"
    return "".join(
        c if c in kept or c.isprintable() or unicodedata.category(c) == "Zs" else c.encode("unicode_escape").decode()
        for c in text
    )
