"""The studies that the paper left open, each a list of conditions over one data set.

A study's folder:

    run/          the run folder, see `cotasks.runs`: all conditions of the study
    predictions/  the model's own steps, for `oracle-gap`, `annotation` and `fine-tuning`
    predictions-RUNG/, run-RUNG/   steps of a machine's annotation and what is asked with them, for `annotation`
    predictions-NAME/, run-NAME/   steps and answers of a tuned model, for `fine-tuning`
    study.json    {format, study, judge, run {model, dataset, split, ...}, conditions, tables, warnings}
    study.md      the same to read, with the study's reading and its pictures

All of it can be interrupted and run again: what is on disk is not asked again.
"""

from cotasks.studies.catalog import STUDIES
from cotasks.studies.run import run_study, write_study

__all__ = ["STUDIES", "run_study", "write_study"]
