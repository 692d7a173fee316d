"""report.tex: what it says, that nothing in it is a command that we did not write, and that it compiles."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.judge.run import judge_run
from cotasks.report import summarise_runs, write_report
from cotasks.report.latex import escape, render
from tests.test_report import HOSTILE, add, write_large_run, write_run

ESCAPED = {
    r"\textbackslash{}": "\\",
    r"\textasciicircum{}": "^",
    r"\textasciitilde{}": "~",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    r"\textquotedblright{}": '"',
    r"\textasciigrave{}": "`",
    "{[}": "[",
    "{*}": "*",
    "-{}": "-",
    "'{}": "'",
    ",{}": ",",
    "?{}": "?",
    "!{}": "!",
    **{rf"\{c}": c for c in "{}$&#%_"},
}
TOKEN = re.compile("|".join(map(re.escape, sorted(ESCAPED, key=len, reverse=True))))
LATEX_HOSTILE = r"\input{/etc/passwd} $x^2$ a_b % \end{document} {[-1ex] -- `` '' ~ \write18{ls}" + "\n\n" + r"\\[9cm]"


def unescape(text: str) -> str:
    """What `escape` was given, read back strictly: only the commands above, no character that TeX treats apart."""
    plain = TOKEN.sub("", text)
    assert not set(plain) & set("\\{}$&#%_^~<>|\"`[*-',?!"), plain
    text = TOKEN.sub(lambda match: ESCAPED[match[0]], text)
    return re.sub(r"\[U\+([0-9A-F]{4,6})\]", lambda match: chr(int(match[1], 16)), text)


@given(st.text())
def test_escaped_text_is_only_text(text: str) -> None:
    shown = unescape(escape(text, 10**6))
    again = unescape(escape(shown, 10**6))
    assert shown == again
    assert escape(text, 10**6).isascii() or max(map(ord, escape(text, 10**6))) <= ord("ž")


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_ascii_reads_back(text: str) -> None:
    assert unescape(escape(text, 10**6)) == " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("org/Model_7B", r"org/Model\_7B"),
        ("100%", r"100\%"),
        ("café Łódź", "café Łódź"),
        ("\u4f60", "{[}U+4F60]"),
        ("a\u202eb\nc", "a b c"),
        ("--", "-{}-{}"),
    ],
)
def test_escape(text: str, expected: str) -> None:
    assert escape(text) == expected


def test_the_tables_hold_the_numbers(tmp_path: Path) -> None:
    text = write_report([write_large_run(tmp_path / "run")]).latex.read_text("utf-8")
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == text.count(r"\bottomrule") == 4
    assert r"\label{tab:next-qa-questions-judge-exact}" in text
    nextqa = text.partition(r"\end{table}")[0]
    assert r"Condition & Causal & Temporal & Descriptive & Average & Macro average & Unscored & Unreadable \\" in nextqa
    assert r"\multicolumn{8}{@{}l@{}}{org/Model\_7B} \\[2pt]" in nextqa
    rows = [line.strip() for line in nextqa.splitlines() if "&" in line]
    assert rows[1].startswith(r"\quad baseline & $20.0$ & $25.0$ & $18.8$ & $21.3$ & $21.2$ & 1 of 48 &")
    assert r"\scriptsize {[}$6.1$, $49.0${]}\ rough &" in rows[2]
    assert r"\scriptsize {[}$12.6$, $33.7${]} &" in rows[2]
    assert rows[2].endswith(r"\scriptsize $20.8$ to $22.9$ &  \\[2pt]")
    assert rows[5].startswith(r"\qquad cotasks minus baseline & \boldmath $+46.7$ &")
    assert {f" {row}".count(" & ") for row in rows} == {7}


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    for name in (HOSTILE, LATEX_HOSTILE):
        folder = write_run(tmp_path / str(len(name)), model={"name": name}, conditions={name: {}})
        add(folder, "generations", "q0", name, answer="A")
        judge_run(folder)
        text = render(summarise_runs([folder]))
        assert escape(name) in text
        body = text.partition(r"\begin{table}")[2].replace(escape(name), "")
        for command in ("input", "write18", r"end{document", "$e$", "9cm"):
            assert command not in body


def compiled(folder: Path, name: str) -> str:
    """The log of pdfLaTeX, which must end without an error."""
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex on the path")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", name]
    ran = subprocess.run(command, cwd=folder, capture_output=True, timeout=120)
    log = ran.stdout.decode("utf-8", "replace")
    assert ran.returncode == 0, log[-2000:]
    assert (folder / name).with_suffix(".pdf").exists()
    return log


def test_it_compiles_alone_and_in_a_paper(tmp_path: Path) -> None:
    plain = write_large_run(tmp_path / "plain")
    everything = "".join(map(chr, range(1, 0x250))) + LATEX_HOSTILE + "\u4f60 \U0001f600 e\u0301"
    odd = write_large_run(tmp_path / "odd", seed=1, model={"name": everything[:200]})
    rest = write_large_run(tmp_path / "rest", seed=2, model={"name": everything[200:480]})
    last = write_large_run(tmp_path / "last", seed=2, model={"name": everything[480:]})
    write_report([plain, odd, rest, last], out=tmp_path / "out")
    assert "undefined" not in compiled(tmp_path / "out", "report.tex")
    paper = r"""\documentclass[twocolumn]{article}
\usepackage{booktabs}
\begin{document}
Before. \input{report.tex} After.
\end{document}
"""
    (tmp_path / "out" / "paper.tex").write_text(paper)
    compiled(tmp_path / "out", "paper.tex")
