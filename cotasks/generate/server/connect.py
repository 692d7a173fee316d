"""Finding a model behind its servers: whether they are there, take the key, and have the same model."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from cotasks.errors import InputError, MissingExtra
from cotasks.generate.server.model import ServedModel, ServerOptions, named, shown_as
from cotasks.servers.address import api_key, longest_answer_field

if TYPE_CHECKING:
    from cotasks.servers.calls import Client, Completion, Trouble

T = TypeVar("T")
MODELS_SECONDS = 10.0
"""Time limit for the list of models, which is not needed."""
MODELS_SHOWN = 10
OTHERS_SECONDS = 20.0
"""How long other servers are waited for once one has answered; they may come later."""


def connect(name: str, options: ServerOptions) -> ServedModel:
    """Ask each server one short question, to learn whether it is there, takes the key, and has the model.

    Where one has answered, others may still be missing: those that only are not there yet are asked when they are.

    Raises InputError where none answers, two have different models, or the family is not known; MissingExtra where a
    package is missing.
    """
    model = named(name, options)
    try:
        import openai  # noqa: F401
    except ImportError:
        raise MissingExtra("openai", "judge") from None
    key = api_key(options.base_url)
    found, refused = _in_a_thread(lambda: asyncio.run(_probe_all(name, options, key)))
    (url, (served, owner)), *others = found.items()
    for other, its in others:
        if its != (served, owner):
            said = [
                f"{place} answers as {model or name} of {who or '?'}"
                for place, model, who in ((url, served, owner), (other, *its))
            ]
            raise InputError(f"{', '.join(said)}; expected servers of one kind with one model")
    model = dataclasses.replace(model, served=served, owner=owner, refused=refused)
    return shown_as(model, "video_url" if owner == "vllm" else "images")


def _in_a_thread(work: Callable[[], T]) -> T:
    """What a function gives, run in a thread, as a notebook's own has an event loop that runs already."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()  # which does not keep an interrupted program from ending
    return future.result()


async def _probe_all(name: str, options: ServerOptions, key: str) -> tuple[dict[str, tuple[str, str]], tuple[str, ...]]:
    """({address: (the model as its server names it, `owned_by`)}, addresses that are of no use), and says on standard
    error which servers do not answer. Raises InputError where none does."""
    tasks = {url: asyncio.create_task(_probe(name, url, options.timeout, key)) for url in options.urls}
    pending: set[asyncio.Task[tuple[str, str]]] = set(tasks.values())
    good: set[asyncio.Task[tuple[str, str]]] = set()
    while pending:
        done, pending = await asyncio.wait(
            pending, timeout=OTHERS_SECONDS if good else None, return_when=asyncio.FIRST_COMPLETED
        )
        good |= {task for task in done if task.exception() is None}
        if not done:
            for task in pending:
                task.cancel()
            break
    await asyncio.gather(*tasks.values(), return_exceptions=True)
    found, refused = {}, []
    for url, task in tasks.items():
        error = task.exception() if not task.cancelled() else InputError(f"{url}: has not answered yet")
        if error is None:
            found[url] = task.result()
        elif not good:
            raise error
        else:
            refused += [url] if getattr(error, "for_good", False) else []
            print(f"{error}; the other servers begin", file=sys.stderr, flush=True)
    return found, tuple(refused)


async def _probe(name: str, url: str, timeout: float, key: str) -> tuple[str, str]:
    """(the model as the server names it, `owned_by` in lower case). Raises InputError where it does not answer."""
    import anyio

    from cotasks.servers.calls import Fatal, Trouble, read_payload
    from cotasks.servers.pool import Pool

    pool: Pool[Completion] = Pool([url], key, 1, timeout, read_payload)
    client = pool.members[0].client
    message = {"role": "user", "content": "Are you there?"}
    request = {"model": name, "messages": [message], longest_answer_field(url): 1}
    async with pool:
        try:
            with anyio.fail_after(timeout):  # all tries together
                outcome, _ = await pool.ask(request)
        except TimeoutError:
            raise Fatal(f"{url}: no response within the time limit of {timeout:g} s") from None
        except Fatal as error:
            offered = "" if error.status != 404 else _offer(await _models(client))
            raise Fatal(f"{error}{offered}", error.status, for_good=True) from None
        models = await _models(client) if pool.heard else {}
    if isinstance(outcome, Trouble):
        raise _unanswered(url, outcome, pool.heard, models)
    owner = models.get(name) or models.get(outcome.served_model) or ""
    return outcome.served_model, owner


def _unanswered(url: str, outcome: Trouble, heard: bool, models: Mapping[str, str]) -> InputError:
    from cotasks.servers.calls import Fatal

    said = f"{outcome.reason}{': ' if outcome.detail else ''}{outcome.detail}"
    if not heard or outcome.retry:
        return Fatal(f"{url}: {said}; expected an OpenAI-compatible server there", for_good=outcome.garbage)
    return Fatal(f"{url}: {said}{_offer(models)}", outcome.status, for_good=True)


async def _models(client: Client[Any]) -> dict[str, str]:
    """{name of a model: its `owned_by` in lower case} as far as the server says."""
    import openai

    try:
        body: Any = await client.api.get("/models", cast_to=object, options={"timeout": MODELS_SECONDS})
        return {client.hide(str(row["id"])): client.hide(str(row.get("owned_by"))).lower() for row in body["data"]}
    except (openai.OpenAIError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _offer(models: Mapping[str, str]) -> str:
    names = list(models)
    more = f" and {len(names) - MODELS_SHOWN} more" if len(names) > MODELS_SHOWN else ""
    return f"; it offers {', '.join(names[:MODELS_SHOWN])}{more}" if names else ""
