r"""What models wrap their answers in, and how it is taken off.

`clean` takes off what is no answer: tokens of chat templates, thoughts, tags. `own_turn` also takes off the turns that
a model goes on to invent.
`unformatted` takes off how an answer is set: Markdown, HTML, LaTeX, full-width letters.
`fields` finds the answers in JSON and in Python dictionaries, whole or broken.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_FLAGS = re.IGNORECASE | re.DOTALL

# -- clean

_TURN_END = re.compile(
    r"<\|(?:im_end|eot_id|end|return|endoftext|end_of_text|end_of_turn|user|observation)\|>|</s>|<(?:end_of_turn|eos)>"
    r"|<\uff5cend\u2581of\u2581sentence\uff5c>",
    re.IGNORECASE,
)
"""Tokens that end a model's turn; what follows the first turn that says something is not its answer."""
_SPECIAL = re.compile(
    r"<\|[^<>|]{1,40}\|>|</?s>|\[/?INST\]|<(?:pad|unk|bos|eos|end_of_turn|start_of_turn|image|video)>",
    re.IGNORECASE,
)
"""Tokens of chat templates and tokenizers that can be left over when an answer is decoded."""
_BARRED = re.compile(r"<\uff5c[^<>\uff5c]{1,40}\uff5c>")
"""Such tokens of DeepSeek's."""
_FINAL_CHANNEL, _ANALYSIS_CHANNEL = "<|channel|>final<|message|>", "<|channel|>analysis<|message|>"
"""Begin the answer proper, and a thought, in the format of gpt-oss."""
_THOUGHT = (
    r"(?:(?:seed:)?think(?:ing)?|thoughts?|reason(?:ing)?|rationale|analysis|reflection|scratchpad|caption|summary)"
)
_THOUGHT_OPEN = rf"(?:<{_THOUGHT}>|\u25c1think\u25b7|\[THINK\]|<\|channel>thought\b)"
_THOUGHT_CLOSE = rf"(?:</{_THOUGHT}>|\u25c1/think\u25b7|\[/THINK\]|<channel\|>)"
"""The tags of model families are among them (`cotasks.models.family.Thinking`): the second last of Gemma 4."""
_THOUGHTS = re.compile(rf"{_THOUGHT_OPEN}.*?{_THOUGHT_CLOSE}", _FLAGS)
_OPEN = re.compile(_THOUGHT_OPEN, re.IGNORECASE)
_CLOSE = re.compile(_THOUGHT_CLOSE, re.IGNORECASE)
_TAG = r"(?:final[ _-]?answer|answer|conclusion|choice|option|response|output|solution)"
_TAGGED = re.compile(
    rf"<{_TAG}>(.*?)</{_TAG}>|<\|begin_of_(?:box|solution)\|>(.*?)<\|end_of_(?:box|solution)\|>", _FLAGS
)
_TAG_OPEN = re.compile(rf"<{_TAG}>", re.IGNORECASE)

_ROLE = r"(?:human|user|question(?:[ \t]*\d+)?|q[ \t]*\d*|instructions?|用户|问题|問題|質問)"
_TURN = re.compile(
    rf"^[ \t#*>]*(?:(?:next|new|follow-?up)[ \t]+)?{_ROLE}[ \t*]*[:\uff1a]"  # "Human:", "### Question 2:"
    r"|^[ \t#]*(?:user|human|assistant|system)[ \t]*$|^[ \t]*#+[ \t]*(?:question|instruction)s?[ \t]*\d*[ \t]*$"
    r"|^[ \t#*>]*(?:assistant|system)[ \t*]*[:\uff1a]"
    r"|(?<=[.!?])[ \t]+(?:human|user|question|q)[ \t]*\d*:"
    r"|^[^\n]{8,}\?[ \t]*\n\s*(?:(?:options?|choices?)[ \t]*:?\s*)?\(?A[).:][ \t]",  # another question and its options
    re.IGNORECASE | re.MULTILINE,
)
"""The head of a turn that a model invents after its answer."""
_OWN_TURN = re.compile(r"\s*(?:[#*]*\s*(?:assistant|model)[ \t*]*(?::|$)\s*)+", re.IGNORECASE | re.MULTILINE)


def _says_something(text: str) -> bool:
    return any(unicodedata.category(character)[0] in "LN" for character in text)


def without_thoughts(text: str) -> str:
    """The text without thoughts. One that was never opened ends at its tag; one that was never closed leaves nothing
    after it."""
    text = _THOUGHTS.sub(" ", text) if _CLOSE.search(text) else text
    closed = [match.end() for match in _CLOSE.finditer(text)]
    text = text[closed[-1] :] if closed else text
    opened = _OPEN.search(text)
    return text[: opened.start()] if opened else text


def _tagged(text: str) -> str:
    """The last `<answer>...</answer>` of a text, also where it is not closed; else the whole text."""
    found = [match[1] if match[1] is not None else match[2] for match in _TAGGED.finditer(text)]
    if found:
        return found[-1]
    opened = [match.end() for match in _TAG_OPEN.finditer(text)]
    return text[opened[-1] :] if opened and _says_something(text[opened[-1] :]) else text


def turns(text: str) -> Iterator[str]:
    """The text up to each place at which another turn seems to begin, the shortest first; then the whole."""
    for match in _TURN.finditer(text):
        if _says_something(text[: match.start()]):
            yield text[: match.start()]
    yield text


def clean(answer: str) -> str:
    """The answer proper, without special tokens, thoughts and outer blanks.

    What precedes the last `</think>` is thought, not answer; a thought that was never closed leaves nothing.
    Where there is `<answer>...</answer>`, the last of these is the answer.
    """
    return _SPECIAL.sub(" ", _tagged(without_thoughts(_final(answer)))).strip()


def is_unfinished_thought(answer: str) -> bool:
    """Whether an answer breaks off while the model still thinks: its last thought is opened and never closed."""
    opened = [match.end() for match in re.finditer(_THOUGHT_OPEN, answer, re.IGNORECASE)]
    return bool(opened) and re.search(_THOUGHT_CLOSE, answer[opened[-1] :], re.IGNORECASE) is None


def own_turn(answer: str, whole: bool = False) -> str:
    """`clean`, up to where the model's turn ends: another "Question:" or the next speaker's turn is not its answer.
    `whole` goes on to the token that ends the turn, for an answer may repeat the question first."""
    begun = (without_thoughts(part) for part in _parts(_final(answer)))
    text = next((part for part in begun if _says_something(_SPECIAL.sub(" ", part))), "")
    text = _BARRED.sub(" ", _SPECIAL.sub(" ", _tagged(text)))
    own = _OWN_TURN.match(text)
    text = text[own.end() :] if own and _says_something(text[own.end() :]) else text
    return (text if whole else next(turns(text))).strip()


def _final(answer: str) -> str:
    return answer.rpartition(_FINAL_CHANNEL)[2].partition(_ANALYSIS_CHANNEL)[0]


def _parts(text: str) -> Iterator[str]:
    """The turns of a text, by the tokens that end them; a turn that holds only the end of a thought goes with what
    follows it."""
    start = 0
    for match in _TURN_END.finditer(text):
        if _OPEN.search(text, start, match.start()) and not _CLOSE.search(text, start, match.start()):
            continue
        yield text[start : match.start()]
        start = match.end()
    yield text[start:]


# -- unformatted

_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
_SET = re.compile(
    r"\\(?:text|math)(?:bf|rm|it|sf|tt|bb|cal|normal)?(?![A-Za-z])\s*|\\(?:bf|rm|it|emph|underline|boldsymbol|bm)(?![A-Za-z])\s*"
)
_SPACES = re.compile(r"\\(?:q?quad|[,;:! \\()\[\]])|~(?=\s)|[\u200b-\u200f\u2060\ufeff\xad]")
_BLOCK = re.compile(r"<\s*(?:br|hr)\s*/?>|</?(?:p|div|li|ul|ol|h[1-6]|tr|table)(?:\s[^<>]*)?>", re.IGNORECASE)
_TAG_OF_TEXT = re.compile(r"<([A-Z])>|</?(?:([a-z]|em|strong|code|mark|span|[A-Z])|[A-Za-z][\w-]+)(?:\s[^<>]*)?/?>")
"""An option's letter in angle brackets, unless a tag of that letter is closed; a tag, of a part of a word or other."""
_TABLE = re.compile(r"^[ \t]*\|(?:[ \t:|-]*\|[ \t]*$|[ \t]*(?=[^\n|]))|[ \t]*\|[ \t]*$", re.MULTILINE)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[\w+-]*[ \t]*$|```", re.MULTILINE)
_BULLET = re.compile(
    r"^[ \t]*(?:(?:[-*+\u2022\u25cf\u25aa\u25e6\u2023\u2013\u2014>#]+|\d{1,2}[.)])[ \t]+|[#>]+)+", re.MULTILINE
)
_QUOTES = re.compile(
    r"[*`\"\u201c\u201d\u201e\u00ab\u00bb\u300c\u300d\u300e\u300f\u3010\u3011{}$\\]|(?<![A-Za-z0-9])_+|_+(?![A-Za-z0-9])"
    r"|(?<!\w)['\u2018\u2019]|['\u2018\u2019](?!\w)"
)
_EAST = (
    "\u0590-\u06ff\u0900-\u0e7f\u1100-\u11ff\u3000-\u30ff\u3130-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af"
)
"""Scripts that set no blanks between their words and a Latin letter."""
_JOINT = re.compile(rf"(?<=[{_EAST}])(?=[A-Za-z(\[])|(?<=[A-Za-z)\]])(?=[{_EAST}])")
_RIGHT_MARKS = re.compile("[\u2705\u2714\u2611\u2713\U0001f197]\ufe0f?")
_WRONG_MARKS = re.compile("[\u274c\u2717\u2718\u2716\U0001f6ab]\ufe0f?")
_ARROWS = re.compile(
    "[\u2192\u21d2\u27a1\u2794\u27f6\U0001f449\U0001f836]\ufe0f?|=>|->|\\\\(?:Right|right|Longright|longright)arrow"
)
_MARKS = str.maketrans(
    {"\u3002": ". ", "\u3001": ", ", "\uff61": ". ", "\u061f": "?", "\u060c": ", ", "\u0964": ". ", "\u00a0": " "}
)
_SQUARED = {0x1F150 + i: chr(65 + i) for i in range(26)} | {0x1F170 + i: chr(65 + i) for i in range(26)}
"""White letters in black circles and squares; NFKC knows the other sorts."""


def unboxed(text: str) -> Iterator[tuple[int, int, str]]:
    r"""(start, end, content) of every `\boxed{...}` that is not inside another, closed or not."""
    end = 0
    for match in _BOXED.finditer(text):
        if match.start() < end:
            continue
        depth, end = 1, match.end()
        while end < len(text) and depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        yield match.start(), end, text[match.end() : end - (not depth)]


def unformatted(text: str) -> str:
    r"""The text without Markdown, HTML, LaTeX, quotes and list marks; letters and punctuation in their plain forms.

    `\boxed{...}` becomes a line "Answer: ..."; ticks and crosses become U+2713 and U+2717, arrows U+2192.
    """
    text = unicodedata.normalize("NFKC", text.translate(_SQUARED).translate(_MARKS)).translate(_MARKS)
    for start, end, content in reversed(list(unboxed(text))):
        text = f"{text[:start]}\nAnswer: {content}\n{text[end:]}"
    text = _ARROWS.sub(" \u2192 ", _RIGHT_MARKS.sub(" \u2713 ", _WRONG_MARKS.sub(" \u2717 ", text)))
    text = _SPACES.sub(" ", _SET.sub("", text))
    text = _BLOCK.sub("\n", text)
    text = _TAG_OF_TEXT.sub(lambda tag: tag[1] if tag[1] and f"</{tag[1]}>" not in text else " " * (not tag[2]), text)
    text = _TABLE.sub("", _FENCE.sub("", text))
    text = _QUOTES.sub("", _BULLET.sub("", text))
    return _JOINT.sub(" ", text)


# -- fields

_KEY = (
    r"(?:(?:the|my|your|final|correct|right|best|predicted|selected|chosen|model)[ _-]?){0,2}"
    r"(?:answer|ans|choice|option|prediction|pred|selection|response|letter|\u7b54\u6848|\u9009\u9879)"
    r"(?:[ _-]?(?:choice|letter|option|id|key|label|text|value))?"
)
_FIELD = re.compile(
    rf"""(?P<quote>["'])(?P<key>{_KEY})(?P=quote)\s*:\s*
    (?: "(?P<double>(?:[^"\\]|\\.)*)" | '(?P<single>(?:[^'\\]|\\.)*)'
      | \[(?P<list>[^\]\[]*)\] | (?P<bare>[^\s,}}\]"'\[{{][^,}}\]\n]*) )""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


def fields(text: str) -> list[tuple[int, int, str]]:
    """(start, end, value) of the answers in JSON or a Python dictionary, which may be broken: the values of keys such
    as "answer", "final_answer", "choice". A list is a text with commas; null and nested values are empty."""
    found = []
    for match in _FIELD.finditer(text):
        value = next((match[name] for name in ("double", "single", "list", "bare") if match[name] is not None), "")
        value = value.replace("\\n", "\n").replace('\\"', '"').strip()
        if match["bare"] is not None and value.lower() in ("null", "none", "nan"):
            value = ""
        if match["list"] is not None:
            value = ", ".join(part.strip().strip("\"'") for part in value.split(","))
        found.append((match.start(), match.end(), value))
    return found


# -- open-ended answers

_SAID = r"(?:the\s+|my\s+)?(?:(?:final|short|correct|right|best)\s+){0,2}(?:answer|response|ans\.?)"
_SAID_ELSEWHERE = (
    r"(?:(?:la |le |die |das |a |o |het )?(?:respuesta|réponse|antwort|resposta|risposta|antwoord|ответ)\s*"
    r"(?:es|est|ist|lautet|é|è|is|:)"
    r"|(?:正确|正確|最终|最終|我的)?(?:答案|回答|答え|正解|정답|답)\s*(?:应该是|應該是|是|为|為|は|은|:))"
)
_HEADING = re.compile(rf"^[ \t]*{_SAID}[ \t]*:?[ \t]*$", re.IGNORECASE | re.MULTILINE)
_LABEL = re.compile(
    rf"(?:^|[,.;:!?]\s+|\b(?:so|thus|hence|therefore)\s+)\W*(?:(?:so|thus|hence|therefore),?\s+)?(?:{_SAID}(?:\s+(?:to|for)\s+(?:this|the|your)\s+question)?\s*(?:\b(?:is|would\s+be)\b\s*:?|[:=])|a\s*:|{_SAID_ELSEWHERE})",
    re.IGNORECASE | re.MULTILINE,
)
_EXPLAINED = re.compile(
    r"^[ \t]*(?:explanation|reason(?:ing)?|rationale|justification|note|confidence|evidence|context|why)\b"
    r"[^\n]{0,20}?[:\uff1a]",
    re.IGNORECASE | re.MULTILINE,
)


def unlabelled(text: str) -> str:
    """An open-ended answer without the packaging of its text: what a JSON field, a box, or the last label such as
    "Answer:" or "The answer is" holds, up to an explanation; the whole where there is none."""
    told = [value for _, _, value in fields(text) if _says_something(value)]
    boxed = [content for _, _, content in unboxed(text) if _says_something(content)]
    text = unformatted(told[-1] if told else boxed[-1] if boxed else text).strip()
    for pattern, ends in ((_HEADING, False), (_LABEL, True)):
        for match in reversed(list(pattern.finditer(text))):
            rest = text[match.end() :].strip()
            if _says_something(rest):
                text = rest.partition("\n")[0] if ends and match.start() else rest
                break
    explained = _EXPLAINED.search(text)
    return text[: explained.start()].strip() if explained and _says_something(text[: explained.start()]) else text
