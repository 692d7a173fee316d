"""How fast verdicts are asked for: against bare calls of the client library, and a serial loop.

    python tests/benchmarks/judge_speed.py [--answers 3000] [--rounds 3]

Starts a loopback server of 200 ms latency in a process of its own. Of each round, the bare calls and the whole of
`judge_run` (reading the run, asking, writing verdicts, counting) are timed one after the other, 64 calls at once. Ends
with exit code 1 where `judge_run` reaches less than 90% of the bare calls' rate (medians), or 40 times the serial one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from cotasks.judge.llm.rubric import load_rubric  # noqa: E402
from cotasks.judge.llm.settings import llm_judge  # noqa: E402
from cotasks.judge.run import judge_run  # noqa: E402
from cotasks.runs import folder as runs  # noqa: E402

LATENCY = 0.2
AT_ONCE = 64
MODEL = "openai:loopback"


def write_run(folder: Path, answers: int) -> Path:
    """A run whose answers all differ, so that each is asked about."""
    runs.settle(folder, {"model": {"name": "m"}, "conditions": {"baseline": {}}})
    question = {"category": "causal", "question_type": "CW", "question": "why did the boy in blue run after the dog"}
    fields = {"answer": "to catch it", "additional_answers": [], "choices": [], "answer_index": -1}
    with (
        runs.Appender(folder / "questions.jsonl") as questions,
        runs.Appender(folder / "generations" / "00000.jsonl") as generations,
    ):
        for i in range(answers):
            questions.append({"id": f"q{i}", "video_id": f"v{i // 8}", **question, **fields})
            generations.append({"id": f"q{i}", "condition": "baseline", "sample": 0, "answer": f"to get number {i}"})
    return folder


async def bare(url: str, answers: int, at_once: int) -> float:
    """Calls a second of the client library and nothing else."""
    import openai

    judge = llm_judge(MODEL, load_rubric(), url)
    question = {"question": "why did the boy in blue run after the dog", "answer": "to catch it"}
    requests = [judge.request({**question, "additional_answers": []}, f"to get number {i}") for i in range(answers)]
    async with openai.AsyncOpenAI(api_key="none", base_url=url, max_retries=0) as client:
        places = asyncio.Semaphore(at_once)

        async def call(request: dict[str, object]) -> None:
            async with places:
                await client.chat.completions.create(**request)  # type: ignore[call-overload]

        began = time.perf_counter()
        await asyncio.gather(*map(call, requests))
        return answers / (time.perf_counter() - began)


def ours(url: str, folder: Path, answers: int) -> float:
    """Verdicts a second of `judge_run`."""
    began = time.perf_counter()
    counts = judge_run(folder, MODEL, base_url=url, concurrency=AT_ONCE, progress=False)
    seconds = time.perf_counter() - began
    assert counts.scored == counts.calls == answers, counts
    return answers / seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "tests.judge_server", "--latency", str(LATENCY)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        serial = asyncio.run(bare(url, 20, 1))
        rates: dict[str, list[float]] = {"bare": [], "judge_run": []}
        with tempfile.TemporaryDirectory() as scratch:
            for number in range(arguments.rounds):
                folder = write_run(Path(scratch) / str(number), arguments.answers)
                rates["bare"].append(asyncio.run(bare(url, arguments.answers, AT_ONCE)))
                rates["judge_run"].append(ours(url, folder, arguments.answers))
    finally:
        server.kill()
    medians = {name: statistics.median(values) for name, values in rates.items()}
    share, speedup = medians["judge_run"] / medians["bare"], medians["judge_run"] / serial
    print(f"ideal {AT_ONCE / LATENCY:.0f}/s, serial {serial:.2f}/s")
    for name, values in rates.items():
        print(f"{name}: {medians[name]:.0f}/s (rounds: {', '.join(f'{value:.0f}' for value in values)})")
    print(f"judge_run reaches {share:.0%} of bare calls, {speedup:.1f} times a serial loop")
    return 0 if share >= 0.9 and speedup >= 40 else 1


if __name__ == "__main__":
    sys.exit(main())
