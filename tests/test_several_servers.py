"""Several servers behind one run: one dies, one sends garbage, one is slow, and every key is there once."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.cli import main as cli
from cotasks.errors import InputError
from cotasks.generate.run import GenerateResult, generate
from cotasks.generate.server.model import ServerOptions
from cotasks.predict import predict
from cotasks.prompts.condition import parse_condition
from cotasks.records.dataset import load_records
from cotasks.runs.folder import read_failures, read_settings
from cotasks.servers import calls
from cotasks.servers import pool as pools
from cotasks.servers.address import server_urls
from cotasks.servers.calls import Closed, Completion, Trouble, read_payload
from cotasks.servers.pool import Pool
from tests.examples import examples
from tests.judge_server import JudgeServer, Response, completion, fair, verdict
from tests.model_server import MODEL, ModelServer, seen, texts_of
from tests.test_judge import add_answers, write_run
from tests.test_llm_judge import many
from tests.test_server import BOTH, KEY, calls_are_quick, make_world, rows_of

pytest.importorskip("av")

HTML = Response(b"<html><body>It works!</body></html>")
GARBAGE = {
    "HTML": HTML,
    "half a JSON": Response(b'{"choices": [', headers={"content-type": "application/json"}),
    "no choices": {"choices": [], "model": MODEL},
    "another thing": {"detail": "ok"},
    "a list": Response([1, 2]),
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    calls_are_quick(monkeypatch)
    monkeypatch.setattr(pools, "KNOCK_SECONDS", 0.05)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four videos with five questions each; leave it as it is."""
    return make_world(tmp_path_factory.mktemp("world"), videos=4, questions=5)


def run(world: Path, out: Path, servers: list[Any], *names: str, **options: Any) -> GenerateResult:
    url, *more = [server if isinstance(server, str) else server.url for server in servers]
    fields = {"concurrency": 4, "timeout": 5.0, **options}
    server = ServerOptions(url, more_urls=tuple(more), **fields)
    conditions = [parse_condition(name) for name in names or ("blind",)]
    records = load_records(str(world / "data"))
    return generate(records, conditions, MODEL, out, server=server, videos=world / "videos", progress=False)


def each_once(out: Path, total: int) -> None:
    """Every key has one answer, which is what the model would say, and none failed."""
    rows = rows_of(out)
    keys = Counter((row["id"], row["condition"], row["sample"]) for row in rows)
    assert len(keys) == total
    assert set(keys.values()) == {1}
    assert all(row["answer"].startswith("frames [") for row in rows)
    assert not read_failures(out)


def dies(server: ModelServer, number: int) -> Callable[[int, Any], Any]:
    """The answers of a server that is gone from its number-th prompt on: it hangs up, and nobody listens any more."""

    def answer(asked: int, request: Any) -> Any:
        if asked < number:
            server.latency = 0.02
            return seen(request)
        server.die()
        return Response(seen(request), cut=True)

    return answer


def test_one_dies_one_sends_garbage_one_is_slow(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ModelServer() as dying, ModelServer() as garbled, ModelServer(latency=0.3) as slow, ModelServer() as good:
        dying.answer = dies(dying, 5)
        garbled.answer = lambda number, request: list(GARBAGE.values())[number % len(GARBAGE)]
        good.latency = 0.03
        result = run(world, tmp_path, [dying, garbled, slow, good], *BOTH, concurrency=3)
        assert result == GenerateResult(total=40, done=40, new=40, failures={})
        each_once(tmp_path, 40)
        assert 1 <= len(slow.asked) < len(good.asked)
        assert len(garbled.asked) <= pools.GARBAGE_IN_A_ROW + 3  # those that were under way
        assert len(dying.asked) >= 5
        assert read_settings(tmp_path)["model"]["base_url"] == [s.url for s in (dying, garbled, slow, good)]
        said = capsys.readouterr().err
        assert f"{garbled.url}: the server's response is no completion; set aside for good" in said
        assert f"{dying.url}: the connection failed; set aside until it answers again" in said
        for server in (slow, good):
            assert f"{server.url}: " not in said


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_of_every_kind_is_no_completion(what: str) -> None:
    body = GARBAGE[what]
    found = read_payload(body.body if isinstance(body, Response) else body)
    assert isinstance(found, Trouble)
    assert found.garbage


def test_a_server_that_dies_and_comes_back_is_asked_again(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ModelServer(latency=0.05) as steady, ModelServer(latency=0.01) as ill:
        ill.answer = lambda number, request: Response({}, 500) if 3 <= number < 8 else seen(request)
        assert run(world, tmp_path, [ill, steady]).complete
        each_once(tmp_path, 20)
        assert len(ill.asked) > 8
    assert f"{ill.url}: answers again" in capsys.readouterr().err


def test_a_server_of_another_model_or_that_drops_frames_is_set_aside(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def drops(_: int, request: Any) -> Any:
        found = seen(request)
        found["usage"]["prompt_tokens"] = 30
        return found

    with ModelServer(latency=0.01) as good, ModelServer(drops) as dropping, ModelServer() as other:
        other.answer = lambda _, request: seen(request, model="org/other")
        assert run(world, tmp_path, [dropping, other, good], "baseline").complete
        assert len(rows_of(tmp_path)) == len(good.asked) == 20
    said = capsys.readouterr().err
    assert f"{dropping.url}: " in said
    assert "drops frames, or resizes them" in said
    assert f"{other.url}: org/other answers; the run began with {MODEL}" in said


def test_what_one_server_refuses_another_may_take(world: Path, tmp_path: Path) -> None:
    """One was started with a shorter context, or without leave to show images."""
    short = Response({"error": {"message": "too long", "code": "context_length_exceeded"}}, 400)
    refusal = Response({"error": {"message": "At most 0 image(s) may be provided"}}, 400)
    for refused in (short, refusal):
        with ModelServer(latency=0.01) as good, ModelServer(lambda *_, r=refused: r) as narrow:  # type: ignore[misc]
            assert run(world, tmp_path / str(id(refused)), [narrow, good]).complete
            assert narrow.asked


def test_what_all_servers_refuse_fails_once_and_the_rest_goes_on(world: Path, tmp_path: Path) -> None:
    def answer(_: int, request: Any) -> Any:
        if "dog of v0 run after the ball again\n" in texts_of(request)[-1]:
            return Response({"error": {"message": "too long", "code": "context_length_exceeded"}}, 400)
        return seen(request)

    with ModelServer(answer) as one, ModelServer(answer) as two, ModelServer(answer) as three:
        result = run(world, tmp_path, [one, two, three])
        assert result.failures.keys() == {"prompt too long"}
        assert result.done + result.failures["prompt too long"] == 20
        texts = Counter(texts_of(body)[-1] for server in (one, two, three) for body in server.asked)
        assert sorted(texts.values()) == [1] * result.done + [2] * result.failures["prompt too long"]


def test_all_gone_ends_the_run_with_what_is_there_and_the_same_command_goes_on(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "FAILURES_IN_A_ROW", 5)
    with ModelServer() as one, ModelServer() as two:
        one.answer, two.answer = dies(one, 4), dies(two, 6)
        result = run(world, tmp_path, [one, two])
        assert result.stopped
        assert "\n" not in result.stopped
        assert 4 <= result.done == len(rows_of(tmp_path)) < 20
        assert not read_failures(tmp_path)
    with ModelServer() as other, ModelServer() as last:
        assert run(world, tmp_path, [other, last]).complete
        each_once(tmp_path, 20)
        assert len(other.asked) + len(last.asked) == 20 - result.done
    assert read_settings(tmp_path)["model"]["base_url"] == [one.url, two.url, other.url, last.url]


def test_servers_missing_at_the_start_are_said_and_asked_when_they_come(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ModelServer() as good, ModelServer(probe=HTML) as garbled, ModelServer(probe=Response({}, 404)) as empty:
        nobody = "http://127.0.0.1:9/v1"
        assert run(world, tmp_path, [nobody, garbled, empty, good]).complete
        each_once(tmp_path, 20)
        assert not garbled.asked
        assert not empty.asked
    said = capsys.readouterr().err
    for url in (nobody, garbled.url, empty.url):
        assert any(line.startswith(url) and line.endswith("the other servers begin") for line in said.splitlines())
    with pytest.raises(InputError, match=r"^http://127\.0\.0\.1:9/v1: "):
        run(world, tmp_path / "none", [nobody, "http://127.0.0.1:1/v1"])


def test_servers_of_two_models_or_kinds_do_not_begin(world: Path, tmp_path: Path) -> None:
    with ModelServer() as one, ModelServer(probe=completion("Yes.", model="org/other")) as other:
        with pytest.raises(
            InputError, match=f"{one.url} answers as {MODEL}.*{other.url} answers as org/other"
        ) as caught:
            run(world, tmp_path, [one, other])
        assert "\n" not in str(caught.value)
        other.probe, other.models = completion("Yes.", model=MODEL), {MODEL: "vllm"}
        with pytest.raises(InputError, match=r"of someone, .*of vllm; expected servers of one kind"):
            run(world, tmp_path, [one, other])


def test_the_command_line_names_several_and_repeats_a_run_at_them(world: Path, tmp_path: Path) -> None:
    with ModelServer() as one, ModelServer() as two:
        urls = ["--base-url", one.url, "--base-url", two.url]
        command = ["generate", str(world / "data"), "--model", MODEL, "--backend", "server", *urls]
        command += ["--condition", "blind", "--limit", "5", "--run", str(tmp_path / "run")]
        assert cli(command) == 0
        settings = tmp_path / "run" / "run.json"
        assert json.loads(settings.read_text())["model"]["base_url"] == [one.url, two.url]
        asked = len(one.asked) + len(two.asked)
        assert cli(["generate", "--config", str(settings), "--run", str(tmp_path / "again")]) == 0
        assert len(one.asked) + len(two.asked) == 2 * asked > 0


def test_predict_asks_several_servers(world: Path, tmp_path: Path) -> None:
    def steps(_: int, request: Any) -> Any:
        return seen(request) | {"choices": completion("none")["choices"]}

    with ModelServer(steps) as one, ModelServer(lambda *_: HTML) as garbled:
        server = ServerOptions(one.url, more_urls=(garbled.url,), concurrency=4, timeout=5.0)
        records = load_records(str(world / "data"))
        options = {"videos": world / "videos", "server": server, "progress": False}
        assert predict(records, MODEL, tmp_path, steps=(1, 2), **options).complete
        assert len(rows_of(tmp_path)) == 40


def test_a_vllm_that_lets_no_request_say_how_its_video_is_read(world: Path, tmp_path: Path) -> None:
    said = (
        "Per-request media_io_kwargs are disabled by default because they can change multimodal media loading resource "
        "usage. Start the server with --trust-request-mm-kwargs only when clients are trusted."
    )
    refusal = Response({"error": {"message": said, "type": "BadRequestError", "param": "media_io_kwargs"}}, 400)
    with ModelServer(lambda *_: refusal, models={MODEL: "vllm"}) as server:
        result = run(world, tmp_path / "one", [server], "baseline")
        assert result.stopped == (
            f"{server.url} does not let a request say how its video is read; start it with --trust-request-mm-kwargs, "
            "or show it images (--server-media images)"
        )
        assert not read_failures(tmp_path / "one")
        with ModelServer(models={MODEL: "vllm"}) as trusting:
            assert run(world, tmp_path / "two", [server, trusting], "baseline").complete


# A judge


def judged(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / "verdicts" / "openai-m.jsonl").read_text().splitlines()]


def judge(folder: Path, *servers: JudgeServer, code: int = 0, more: tuple[str, ...] = ()) -> None:
    places = [word for server in servers for word in ("--base-url", server.url)]
    command = ["judge", str(folder), "--judge", "openai:m", *places, "--concurrency", "4", "--timeout", "5", *more]
    assert cli(command) == code


def test_three_judges_servers_one_killed_one_garbled_one_slow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path / "run", many(40))
    with JudgeServer() as dying, JudgeServer(lambda *_: HTML) as garbled, JudgeServer(latency=0.1) as slow:

        def answer(number: int, request: Any) -> Any:
            if number >= 9:
                dying.die()
                return Response(fair(request), cut=True)
            return fair(request)

        dying.answer = answer
        judge(folder, dying, garbled, slow)
        rows = judged(folder)
        assert len({r["id"] for r in rows}) == len(rows) == 40
        assert all(r["rating"] is not None for r in rows)
        assert len(garbled.completions) <= pools.GARBAGE_IN_A_ROW + 4
        assert "set aside for good" in capsys.readouterr().err
        with JudgeServer() as fresh, JudgeServer() as another:
            judge(folder, fresh, another)  # other addresses, the same model: nothing is judged again
            assert not fresh.completions
            assert not another.completions
        assert len(judged(folder)) == 40


def test_a_judge_at_one_address_is_joined_by_another(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", many(20))
    with JudgeServer() as one, JudgeServer() as two:
        judge(folder, one)
        judge(folder, one, two)
        assert len(one.completions) == 20
        assert not two.completions
        judge(folder, two)  # known as one of the servers
        assert not two.completions
        with JudgeServer() as stranger:
            judge(folder, stranger)
            assert len(stranger.completions) == 20


def test_a_judges_server_of_another_model_is_set_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "run", many(20))
    with JudgeServer() as one:
        judge(folder, one)
        add_answers(folder, {key: f"{text} or so" for key, text in many(20, "cotasks").items()}, "00001")
        with JudgeServer(lambda *_: {**verdict(0, "no"), "model": "another"}) as other:
            judge(folder, one, other)
            assert {r["served_model"] for r in judged(folder)} == {"judge-2026-01-01"}
    assert f"{other.url}: another answers; the verdicts are of judge-2026-01-01" in capsys.readouterr().err


def test_a_batch_is_for_one_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "run", many(1))
    with JudgeServer() as one, JudgeServer() as two:
        judge(folder, one, two, code=2, more=("--batch",))
    assert "with batch; expected one" in capsys.readouterr().err


# The pool by itself


def test_addresses() -> None:
    assert server_urls(["http://a/v1/", "http://b/v1", "http://a/v1"]) == ("http://a/v1", "http://b/v1")
    with pytest.raises(InputError, match="OpenAI's beside others"):
        server_urls(["https://api.openai.com/v1", "http://a/v1"])
    with pytest.raises(InputError, match="no base URL"):
        server_urls([])


class Scripted:
    """In the place of a server's client: does what a script says, call by call, and then answers."""

    def __init__(self, pool: Pool[Completion], member: Any, script: list[str]) -> None:
        self.script, self.member, self.pool, self.now, self.most = list(script), member, pool, 0, 0
        member.client.call = self.call

    async def call(self, request: Any, entered: float) -> tuple[Completion | Trouble, bool]:
        self.now += 1
        self.most = max(self.most, self.now)
        assert not self.member.aside, "asked while it is set aside"
        await asyncio.sleep(0)
        self.now -= 1
        word = self.script.pop(0) if self.script else "good"
        if word == "good":
            return Completion(str(request["number"]), None, "stop"), True
        return {
            "lost": Trouble("lost", retry=True, lost=True),
            "garbage": Trouble("garbage", retry=True, garbage=True),
            "crowded": Trouble("crowded", retry=True, crowded=True),
            "refused": Trouble("refused"),
            "fatal": Trouble("fatal", fatal="fatal"),
        }[word], True


@examples(15)
@given(
    st.lists(st.lists(st.sampled_from(["good", "lost", "garbage", "crowded", "fatal"]), max_size=8), max_size=3),
    st.integers(1, 4),
)
def test_every_call_ends_with_its_own_answer_while_one_server_is_sound(scripts: list[list[str]], at_once: int) -> None:
    async def main() -> None:
        pool: Pool[Completion] = Pool(
            [f"http://h{number}/v1" for number in range(len(scripts) + 1)], KEY, at_once, 1.0, read_payload
        )
        servers = [Scripted(pool, member, s) for member, s in zip(pool.members, [*scripts, []], strict=True)]
        pool.first.set()
        found = await asyncio.gather(*(pool.ask({"number": n}, about=str(n // 5)) for n in range(20)))
        assert [outcome.content for outcome, _ in found] == [str(n) for n in range(20)]  # type: ignore[union-attr]
        assert all(server.most <= at_once and server.now == 0 for server in servers)
        assert sum(member.answered for member in pool.members) == 20
        assert not pool.members[-1].aside
        assert all(member.client.gate.free >= 1 for member in pool.members)
        pool.close()
        with pytest.raises(Closed):
            await pool.ask({"number": 1})
        await pool.aclose()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "BACKOFF_SECONDS", 0.0)
        asyncio.run(main())


def test_a_server_takes_what_is_about_its_own_videos_and_steals_when_there_is_none() -> None:
    async def main() -> None:
        pool: Pool[Completion] = Pool([f"http://h{n}/v1" for n in range(3)], KEY, 4, 1.0, read_payload)
        asked: list[Counter[str]] = []
        for speed, member in enumerate(pool.members, 1):
            counts: Counter[str] = Counter()
            asked.append(counts)

            async def call(request: Any, entered: float, speed: int = speed, counts: Counter[str] = counts) -> Any:
                counts[request["video"]] += 1
                for _ in range(speed * 10):
                    await asyncio.sleep(0)
                return Completion("", None, "stop"), True

            member.client.call = call  # type: ignore[method-assign]
        videos = [f"v{number // 16}" for number in range(16 * 9)]
        await asyncio.gather(*(pool.ask({"video": video}, about=video) for video in videos))
        assert sum(map(Counter.total, asked)) == len(videos)
        at_home = sum(max(counts[video] for counts in asked) for video in set(videos))
        assert at_home > 0.8 * len(videos)
        fast, middle, slow = (counts.total() for counts in asked)
        assert fast > middle > slow > 0
        await pool.aclose()

    asyncio.run(main())


def test_a_call_that_is_cancelled_gives_its_place_back() -> None:
    async def main() -> None:
        pool: Pool[Completion] = Pool(["http://a/v1", "http://b/v1"], KEY, 1, 1.0, read_payload)
        never = asyncio.Event()

        async def call(request: Any, entered: float) -> Any:
            await never.wait()

        for member in pool.members:
            member.client.call = call  # type: ignore[method-assign]
        tasks = [asyncio.create_task(pool.ask({})) for _ in range(5)]
        await asyncio.sleep(0.01)
        assert len(pool.calling) == 2
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert [member.client.gate.free for member in pool.members] == [1, 1]
        assert not pool._line
        await pool.aclose()

    asyncio.run(main())


def test_a_silent_server_gives_its_calls_to_the_others(world: Path, tmp_path: Path) -> None:
    """A machine that is switched off says nothing at all."""
    with ModelServer() as good, ModelServer(lambda *_: Response(hang=True)) as silent:
        began = time.monotonic()
        assert run(world, tmp_path, [silent, good], timeout=0.3).complete
        each_once(tmp_path, 20)
        assert time.monotonic() - began < 20
