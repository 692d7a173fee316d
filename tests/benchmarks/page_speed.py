"""How fast a report of many answers opens, filters, sorts and searches in headless Chromium.

python tests/benchmarks/page_speed.py [--answers 20000] [--context 2000] [--images 32]

Writes a run of that many answers under four conditions, and its report with a prompt of `--context` characters for
every question and `--images` MB of frames; times the page. Each figure is the time until the browser has painted what
was asked for.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cotasks.tools.files import dump_jsonl

sys.path.insert(0, str(Path(__file__).parents[2]))

from cotasks.judge.run import judge_run
from cotasks.report import html, write_report
from cotasks.report.evidence import Panels
from cotasks.runs import folder as runs
from cotasks.words.types import NEXTQA
from tests.browser import browser, opened

CONDITIONS = ("baseline", "cotasks", "blind", "blind-cotasks")
WORDS = ("the", "boy", "dog", "ball", "runs", "after", "jumps", "over", "table", "picks", "up", "red", "why", "before")
PAINTED = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"
OPENED = f"""new MutationObserver(async (_, observer) => {{
    if (!document.querySelector('.row')) return;
    observer.disconnect();
    window.openedAfter = await ({PAINTED})();
}}).observe(document, {{ childList: true, subtree: true }});"""
"""Notes when the first rows of the list have been painted."""


def write_run(folder: Path, answers: int) -> None:
    """A run of random questions, each asked under four conditions."""
    generator = random.Random(0)
    runs.settle(folder, {"model": {"name": "org/model"}, "conditions": {name: {} for name in CONDITIONS}})
    questions, generations = [], []
    for n in range(answers // len(CONDITIONS)):
        type_ = generator.choice(list(NEXTQA.categories))
        question = {
            "id": f"nextqa/validation/{n // 9:010}/{n % 9}",
            "video_id": f"{n // 9:010}",
            "category": NEXTQA.categories[type_],
            "question_type": type_,
            "question": " ".join(generator.choices(WORDS, k=11)),
            "answer": " ".join(generator.choices(WORDS, k=3)),
            "additional_answers": [],
            "choices": [],
            "answer_index": -1,
        }
        questions.append(question)
        for condition in CONDITIONS:
            wrong = " ".join(generator.choices(WORDS, k=generator.randint(1, 12)))
            answer = question["answer"] if generator.random() < 0.5 else wrong
            generations.append({"id": question["id"], "condition": condition, "sample": 0, "answer": answer})
    (folder / "generations").mkdir()
    dump_jsonl(folder / "questions.jsonl", questions)
    dump_jsonl(folder / "generations" / "00000.jsonl", generations)
    judge_run(folder, "exact")
    judge_run(folder, "f1")


def with_evidence(length: int, megabytes: float) -> None:
    """Give each answer under a cotasks condition a prompt of its own, as if its record were at hand, and frames."""

    def collect(scored: Any, *_: object) -> Panels:
        found = Panels()
        generator = random.Random(1)
        for number, one in enumerate(scored):
            for id_ in one.run.questions:
                text = "".join(generator.choices("0123456789[], .s", k=length))
                found.prompts[number, "cotasks", id_] = found.prompts[number, "blind-cotasks", id_] = len(found.texts)
                found.texts.append(text)
        picture = "data:image/jpeg;base64," + "QUJD" * 4000
        found.images += [picture] * int(megabytes * 1e6 / len(picture))
        return found

    vars(html)["collect"] = collect


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=20_000)
    parser.add_argument("--context", type=int, default=2_000)
    parser.add_argument("--images", type=float, default=32.0, help="MB of frames in the page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        write_run(folder, options.answers)
        with_evidence(options.context, options.images)
        start = time.perf_counter()
        path = write_report([folder]).html
        print(f"written in {time.perf_counter() - start:.1f} s, {path.stat().st_size / 1e6:.1f} MB")
        with browser() as running, opened(running, path, "#answers", script=OPENED) as window:
            page = window.page
            print(f"open      {window.until('window.openedAfter'):6.0f} ms from the start of navigation")

            def timed(what: str, action: str) -> None:
                before = page.evaluate("performance.now()")
                page.evaluate(action)
                print(f"{what:<9} {page.evaluate(PAINTED) - before:6.0f} ms   {page.inner_text('#status')}")

            def pick(name: str, value: str) -> str:
                found = f"const s = document.querySelector('select[name={name}]'); s.value = '{value}';"
                return f"() => {{ {found} s.dispatchEvent(new Event('change')); }}"

            def search(text: str) -> str:
                found = f"const s = document.getElementById('search'); s.value = '{text}';"
                return f"() => {{ {found} s.dispatchEvent(new Event('input')); }}"

            timed("condition", pick("condition", "cotasks"))
            timed("verdict", pick("verdict", "wrong"))
            timed("all", "document.getElementById('clear').click()")
            timed("search", search("dog jumps"))
            timed("search 1", search("o"))
            timed("all", "document.getElementById('clear').click()")
            timed("sort", pick("sort", "score-down"))
            timed("judge", pick("judge", "f1"))
            timed("sort", pick("sort", "gain-up"))
            timed("scroll", "document.getElementById('list').scrollTop = 700000")
            timed("key", "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'End', bubbles: true}))")
            print(f"complaints: {window.complaints or 'none'}; requests outside: {window.outside(path) or 'none'}")


if __name__ == "__main__":
    main()
