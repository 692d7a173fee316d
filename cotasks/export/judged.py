"""A run with its verdicts and means, as the formats for runs take it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

from cotasks.errors import InputError
from cotasks.judge.judges import scored_by
from cotasks.judge.verdicts import Verdict
from cotasks.metrics.means import Mean, summarise
from cotasks.runs.folder import Key
from cotasks.runs.run import Row, Run, model_name, run_with_answers
from cotasks.tools.places import without_places
from cotasks.words.types import ALL


@dataclass(frozen=True)
class Judged:
    """A run that is exported."""

    run: Run
    verdicts: Mapping[str, Mapping[Key, Verdict]]
    """{judge: {key: verdict}}"""

    @property
    def model(self) -> str:
        return model_name(self.run) or "unknown"

    @property
    def dataset(self) -> Row:
        """`dataset` of `run.json`, without what says something of this machine: of a folder its last part."""
        named: Any = without_places(self.run.settings.get("dataset"))
        if not isinstance(named, dict):
            return {}
        name = str(named.get("name") or "unknown")
        return {**named, "name": Path(name).name if Path(name).is_dir() else name}

    @cached_property
    def keys(self) -> list[Key]:
        """Those of answers and failures, by condition, question and sample; none of a question that the run does not
        hold."""
        known = [*self.run.generations, *self.run.failures]
        conditions = {name: place for place, name in enumerate(self.run.conditions)}
        questions = {id_: place for place, id_ in enumerate(self.run.questions)}
        held = [key for key in dict.fromkeys(known) if key[0] in questions]
        return sorted(held, key=lambda key: (conditions[key[1]], questions[key[0]], key[2]))

    @cached_property
    def means(self) -> dict[str, list[Mean]]:
        """{judge: the means of the report}, 0 to 100, with intervals clustered by video."""
        run = self.run
        return {judge: summarise(found, run.questions, run.conditions).means for judge, found in self.verdicts.items()}

    def overall(self, judge: str, condition: str) -> Mean:
        """The mean over all questions."""
        of = (condition, ALL, "micro")
        return next(mean for mean in self.means[judge] if (mean.condition, mean.group, mean.level) == of)

    @cached_property
    def ended(self) -> datetime:
        """When the last answer was written, UTC, as the file system says."""
        files = [*self.run.folder.glob("generations/*.jsonl"), *self.run.folder.glob("failures/*.jsonl")]
        latest = max((path.stat().st_mtime for path in files), default=0.0)
        return datetime.fromtimestamp(int(latest), timezone.utc)


def read_judged(folder: Path) -> Judged:
    """Raises InputError where it is no run folder, has no answers or no verdicts, or a file of it is damaged."""
    run = run_with_answers(folder)
    if not run.questions:
        raise InputError(f"{folder / 'questions.jsonl'}: no questions")
    verdicts = scored_by(run)
    if not verdicts:
        raise InputError(f"{folder}: no verdicts; write them with `cotasks judge {folder} --judge exact`")
    return Judged(run, verdicts)


def references_of(question: Row) -> list[str]:
    """The reference answers of a row of `questions.jsonl`, the first one first; none where there is none."""
    found = [question["answer"], *question.get("additional_answers", ())]
    return [text for text in found if text is not None]
