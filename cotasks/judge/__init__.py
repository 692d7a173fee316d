"""Verdicts on answers: deterministic rules, language-model judges, agreement."""

from cotasks.judge.judges import verdicts_of
from cotasks.judge.run import judge_run
from cotasks.judge.verdicts import Verdict
from cotasks.runs.run import read_run

__all__ = ["Verdict", "judge_run", "read_run", "verdicts_of"]
