"""The studies there are: one row each, one file each."""

from __future__ import annotations

from cotasks.studies import (
    ablation,
    annotation,
    bias,
    error_propagation,
    fine_tuning,
    frames,
    oracle_gap,
    sub_questions,
)
from cotasks.studies.study import Study

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        ablation.STUDY,
        error_propagation.STUDY,
        frames.STUDY,
        bias.STUDY,
        oracle_gap.STUDY,
        annotation.STUDY,
        sub_questions.STUDY,
        fine_tuning.STUDY,
    )
}
"""{name: study}"""
