"""Names, boxes and times in the tags of model families, and full-width punctuation, as plain text.

    Qwen2-VL            <|object_ref_start|>dog<|object_ref_end|><|box_start|>(100,50),(200,150)<|box_end|>
    Qwen-VL             <ref>dog</ref><box>(100,50),(200,150)</box>
    InternVL            <ref>dog</ref><box>[[100, 50, 200, 150]]</box>
    MiniCPM-V           <ref>dog</ref><box>100 50 200 150</box>
    DeepSeek-VL2        <|ref|>dog<|/ref|><|det|>[[100, 50, 200, 150]]<|/det|>
    GLM-4.5V            <|begin_of_box|>[100, 50, 200, 150]<|end_of_box|>, around a whole answer too
    Open-o3 Video       <obj>dog</obj><box>[100, 50, 200, 150]</box>at<t>0.5</t>s
    others              <answer>...</answer>, <|im_end|> and their like, which hold nothing
    Chinese             dog：0.5s ［100，50，200，150］; （dog，next to，frisbee）

Kosmos' <patch_index_0044>, PaliGemma's <loc0100> and MiniGPT's {<25><50>} are scales of their own and stay unread.
"""

from __future__ import annotations

import re

NAME_OPENS, NAME_CLOSES, TIME_OPENS, TIME_CLOSES = "\ue000\ue001\ue002\ue003"
"""What stands around a name and a time that tags delimit, where they are marked."""

_PAIRS = (
    ("「」", '""'), ("『』", '""'), ("《》", '""'), ("“”", '""'), ("„‟", '""'), ("‘’", "''"), ("【】", "[]"),
    ("〔〕", "[]"), ("〈〉", "<>"), ("、。", ",."), ("\u3000\u00a0", "  "), ("\u202f\u2009", "  "),
    ("\u200b\ufeff", "  "), ("\u2011\u2010", "--"), ("∶︰", "::"),
)  # fmt: skip
_CHARACTERS = {0xFEE0 + code: code for code in range(0x21, 0x7F)} | {
    ord(old): new for olds, news in _PAIRS for old, new in zip(olds, news, strict=True)
}

_NAMES = re.compile(
    r"<\|object_ref_start\|>(.{0,200}?)<\|object_ref_end\|>|<\|ref\|>(.{0,200}?)<\|/ref\|>"
    r"|<(ref|obj|object|p|phrase|entity|label|name)>(.{0,200}?)</\3>",
    re.IGNORECASE,
)
_BOXES = re.compile(
    r"<\|box_start\|>(.{0,200}?)<\|box_end\|>|<\|det\|>(.{0,200}?)<\|/det\|>|<\|begin_of_box\|>(.{0,200}?)<\|end_of_box\|>"
    r"|<(box|bbox|bbox_2d|bounding_box)>(.{0,200}?)</\4>",
    re.IGNORECASE,
)
_TIMES = re.compile(r"<(t|time|timestamp)>\s*(.{0,200}?)\s*</\1>(?:\s*s(?:ec(?:ond)?s?)?\b)?", re.IGNORECASE)
_EMPTY = re.compile(
    r"<\|[\w/]{1,30}\|>|</?(?:answer|final_answer|output|result|response|final|json|track|tracks|tracking|s|eos)>",
    re.IGNORECASE,
)
_ONLY_NUMBERS = re.compile(r"[\s\d.,;()\[\]{}-]*\d[\s\d.,;()\[\]{}-]*")
_NO_BRACKETS = re.compile(r"[\s\d.,-]+")


def plain_characters(text: str) -> str:
    """Full-width punctuation, letters and digits, and quotes, as their plain ones; every character in its place."""
    return text if text.isascii() else text.translate(_CHARACTERS)


def plain_tags(text: str, with_boxes: bool) -> str:
    """A line without tags: boxes in brackets, times with their unit.

    Args:
        with_boxes: mark names and times (`NAME_OPENS` and its like), and keep the boxes; else both stand unmarked, and
            boxes are left out.
    """
    if "<" not in text:
        return text
    name, time = (f"{NAME_OPENS}%s{NAME_CLOSES}", f"{TIME_OPENS}%s{TIME_CLOSES}") if with_boxes else ("%s", " %s ")

    def box(match: re.Match[str]) -> str:
        content = next((group for group in (*match.groups()[:3], match[5]) if group is not None), "")
        if not _ONLY_NUMBERS.fullmatch(content):
            return content
        if not with_boxes:
            return ""
        return f" [{content.strip()}] " if _NO_BRACKETS.fullmatch(content) else f" {content} "

    def named(match: re.Match[str]) -> str:
        content = next((group for group in (match[1], match[2], match[4]) if group is not None), "")
        return name % content.strip()

    def timed(match: re.Match[str]) -> str:
        content = match[2]
        return time % (f"{content}s" if re.fullmatch(r"\d+(?:\.\d+)?", content) else content)

    text = _EMPTY.sub("", _TIMES.sub(timed, _NAMES.sub(named, _BOXES.sub(box, text))))
    return " ".join(text.split())
