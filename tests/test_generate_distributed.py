"""Several processes on one run folder: started, killed and resumed in any number."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cotasks.errors import InputError
from cotasks.generate import processes
from cotasks.generate.local import ask
from cotasks.generate.processes import Processes, Tally
from cotasks.runs.folder import key_of, locked, read_folder, read_settings
from tests.processes import FORKSERVER, own_port
from tests.test_generate import answers, make_world, run

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("av")

ROOT = Path(__file__).parents[1]


def child(rank: int, size: int, port: int, world: Path, out: Path, cache: str, fail: str, options: Any) -> None:
    """One process of a launch; `fail` names a rank and what befalls it in its first batch, which others wait for."""
    import datasets

    os.environ.update(RANK=str(rank), WORLD_SIZE=str(size), LOCAL_RANK=str(rank), LOCAL_WORLD_SIZE=str(size))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    datasets.config.HF_DATASETS_CACHE = cache
    datasets.disable_progress_bars()
    sys.stdout = sys.stderr = (out.parent / f"{out.name}-{rank}.log").open("w", buffering=1)
    for number in (1, 2):
        os.dup2(sys.stderr.fileno(), number)
    processes.LIVENESS_SECONDS, processes.LAST_WORDS_SECONDS = 0.3, 0.0
    if fail:
        befall(rank, *fail.split(), out)
    try:
        result = run(world, out, **{"batch_size": 2, "workers": 1, **options})
    except KeyboardInterrupt:
        sys.exit(130)
    except InputError as error:
        print(error)
        sys.exit(2)
    if result.main:
        (out.parent / f"{out.name}.json").write_text(
            json.dumps([result.total, result.done, result.new, result.failures])
        )
    sys.exit(int(result.main and not result.complete))


def befall(rank: int, who: str, what: str, out: Path) -> None:
    """Let rank `who` fail (`device`), die (`kill`), or stay in its first batch (`held`) until `let_go`.

    The others stay in theirs until then, or on a busy machine they would leave it nothing to do.
    """
    answer, reached = ask._answer, out.parent / f"{out.name}-reached"

    def befallen(*batch: Any) -> Any:
        if rank == int(who):
            reached.touch()
            if what == "device":
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            if what == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
        wait_for(reached if rank != int(who) else out.parent / f"{out.name}-let-go")
        return answer(*batch)

    ask._answer = befallen


def let_go(out: Path) -> None:
    (out.parent / f"{out.name}-let-go").touch()


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.005)


def launch(world: Path, out: Path, size: int, fail: str = "", **options: Any) -> list[Any]:
    port = own_port()
    cache = str(out.parent / "cache")
    group = [
        FORKSERVER.Process(target=child, args=(rank, size, port, world, out, cache, fail, options))
        for rank in range(size)
    ]
    for process in group:
        process.start()
    return group


def end(group: Sequence[Any], seconds: float = 60) -> list[int]:
    """Exit codes; fails where a process does not end."""
    for process in group:
        process.join(seconds)
    codes = [process.exitcode for process in group]
    for process in group:
        process.kill()
    assert None not in codes
    return codes


def lines(out: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in (out / "generations").glob("*.jsonl"))


def wait_for_lines(out: Path, count: int, group: Sequence[Any]) -> None:
    while all(process.is_alive() for process in group) and lines(out) < count:
        time.sleep(0.005)


def assert_each_key_once(world: Path, out: Path, total: int, tmp_path: Path) -> None:
    """Every key is in one line of one file, with the answer that a single process in peace gives."""
    keys = [key_of(row) for row in read_folder(out / "generations")]
    assert len(keys) == len(set(keys)) == total
    run(world, tmp_path / "peace")
    assert answers(out) == answers(tmp_path / "peace")


def test_any_number_of_processes_gives_the_same_answers(tmp_path: Path) -> None:
    world = make_world(tmp_path / "world", videos=2, questions=3)
    out = tmp_path / "run"
    assert end(launch(world, out, 3)) == [0] * 3  # one has nothing to do
    assert json.loads((tmp_path / "run.json").read_text()) == [12, 12, 12, {}]
    assert_each_key_once(world, out, 12, tmp_path)
    shards = list((out / "generations").iterdir())
    assert len(shards) == 3
    assert read_settings(out) == read_settings(tmp_path / "peace")
    assert (out / "questions.jsonl").read_bytes() == (tmp_path / "peace" / "questions.jsonl").read_bytes()
    assert end(launch(world, out, 2)) == [0, 0]  # again, in another number: nothing is left to do
    assert lines(out) == 12


def kill_and_resume(tmp_path: Path, kills: int, seed: int, videos: int) -> None:
    """Kill launches of 1, 2 and 3 processes in turn at random moments, then finish and check."""
    world = make_world(tmp_path / "world", videos, questions=4)
    out, total = tmp_path / "run", 8 * videos
    chance = random.Random(seed)
    for kill in range(kills):
        group = launch(world, out, kill % 3 + 1)
        wait_for_lines(
            out, lines(out) + 1 + chance.randrange(max(1, (total - lines(out)) // (kills - kill + 1))), group
        )
        time.sleep(chance.uniform(0, 0.1))
        for process in chance.sample(group, len(group)):
            process.kill()
            time.sleep(chance.choice([0, 0.02]))
        end(group)
    with next((out / "generations").iterdir()).open("ab") as file:
        file.write(b'{"id": "torn')
    assert end(launch(world, out, 2)) == [0, 0]
    assert_each_key_once(world, out, total, tmp_path)


@pytest.mark.slow
def test_killed_at_random_moments_every_key_is_there_once(tmp_path: Path) -> None:
    kill_and_resume(tmp_path, kills=3, seed=5, videos=5)


def test_a_process_that_fails_leaves_the_rest_to_the_others(tmp_path: Path) -> None:
    world, out = make_world(tmp_path / "world", videos=5, questions=2), tmp_path / "run"
    codes = end(launch(world, out, 2, fail="1 device"))
    assert codes == [1, 1]
    total, done, new, failures = json.loads((tmp_path / "run.json").read_text())
    assert (total, failures) == (20, {})
    assert 8 <= done == new == lines(out) < 20
    assert "process 1 of 2 failed: RuntimeError: CUDA error" in (tmp_path / "run-0.log").read_text()
    assert end(launch(world, out, 2)) == [0, 0]
    assert_each_key_once(world, out, 20, tmp_path)


def test_the_main_process_fails_and_the_others_finish(tmp_path: Path) -> None:
    world, out = make_world(tmp_path / "world", videos=5, questions=2), tmp_path / "run"
    codes = end(launch(world, out, 2, fail="0 device"))
    assert codes == [1, 0]
    assert 8 <= lines(out) < 20


def test_a_process_that_is_killed_is_missed(tmp_path: Path) -> None:
    world, out = make_world(tmp_path / "world", videos=5, questions=2), tmp_path / "run"
    codes = end(launch(world, out, 3, fail="2 kill"))
    assert codes == [1, 0, -signal.SIGKILL]
    assert "process 2 of 3 failed: it is gone" in (tmp_path / "run-0.log").read_text()
    assert end(launch(world, out, 1)) == [0]
    assert_each_key_once(world, out, 20, tmp_path)


def test_a_run_that_cannot_begin_ends_in_all_processes(tmp_path: Path) -> None:
    world, out = make_world(tmp_path / "world", videos=2, questions=1), tmp_path / "run"
    run(world, out)
    assert end(launch(world, out, 2, max_new_tokens=7)) == [2, 2]
    assert "max_new_tokens is 6, in this command 7" in (tmp_path / "run-0.log").read_text()
    assert "the main process gave up: " in (tmp_path / "run-1.log").read_text()


def test_a_process_of_an_earlier_run_that_still_writes_is_not_disturbed(tmp_path: Path) -> None:
    world, out = make_world(tmp_path / "world", videos=2, questions=1), tmp_path / "run"
    with locked(out, "generate-1"):
        assert end(launch(world, out, 2)) == [2, 2]
    assert "process 1 of 2 gave up: " in (tmp_path / "run-0.log").read_text()
    assert "another process is writing" in (tmp_path / "run-1.log").read_text()
    assert not (out / "run.json").exists()


def test_a_second_run_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    world, out = make_world(tmp_path / "world", videos=5, questions=4), tmp_path / "run"
    group = launch(world, out, 2, fail="1 held")
    wait_for_lines(out, 4, group)
    with pytest.raises(InputError, match="another process"):
        run(world, out)
    group[0].kill()  # the other one lives on for a moment: it still writes
    group[0].join()  # its lock is free
    with pytest.raises(InputError, match=r"another process .*generate-1\.lock"):
        run(world, out)
    let_go(out)
    assert end(group)[1] not in (0, None)  # whoever held the counter has gone
    run(world, out)
    assert_each_key_once(world, out, 40, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_after_the_batch_in_hand(number: int, tmp_path: Path) -> None:
    world, out = make_world(tmp_path / "world", videos=5, questions=4), tmp_path / "run"
    group = launch(world, out, 2, fail="1 held")  # both have work in hand
    wait_for_lines(out, 4, group)
    for process in group:
        for _ in range(2):  # a launcher hands on what the terminal has sent already
            os.kill(process.pid, number)
    let_go(out)
    assert end(group, 20) == [130, 130]
    assert 4 <= lines(out) < 40
    assert all(path.read_bytes()[-1:] in (b"", b"\n") for path in (out / "generations").iterdir())
    assert run(world, out).complete
    assert_each_key_once(world, out, 40, tmp_path)


@pytest.mark.slow
def test_torchrun_starts_the_command_line(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_DATASETS_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-port", str(own_port()), "-m", "--", "cotasks"]
    command += ["generate", "sample", "--model", "tiny", "--run", str(tmp_path / "run"), "--limit", "8"]
    command += ["--condition", "baseline", "--max-new-tokens", "4"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    keys = [key_of(row) for row in read_folder(tmp_path / "run" / "generations")]
    assert len(keys) == len(set(keys)) >= 8
    assert len(list((tmp_path / "run" / "generations").iterdir())) == 2


def test_processes_must_know_where_to_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    monkeypatch.delenv("MASTER_PORT", raising=False)
    with pytest.raises(InputError, match=r"MASTER_ADDR and MASTER_PORT not set; start with `accelerate launch`"):
        processes.join()


def test_tallies_add_up() -> None:
    first, second = Tally(answers=2, videos=1, waited=0.5, worked=2.0), Tally(answers=1, worked=1.0)
    first.failures["not a video"] += 2
    second.failures["not a video"] += 1
    total = first + second
    assert (total.answers, total.videos, total.waited, total.worked) == (3, 1, 0.5, 3.0)
    assert total.failures == {"not a video": 3}
    assert Processes().total(first) is first


def test_an_interrupt_stays_one_where_the_launcher_has_gone_first() -> None:
    with pytest.raises(KeyboardInterrupt), Processes().failing_alone(lambda: True):
        raise processes.LauncherGone
    with pytest.raises(processes.LauncherGone), Processes().failing_alone(lambda: False):
        raise processes.LauncherGone
