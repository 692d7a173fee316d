"""Answers that other programs made, as a run like any other; evidence in them, as predicted steps beside it."""

from cotasks.imports.forms import FORMS, Columns
from cotasks.imports.run import Imported, import_answers

__all__ = ["FORMS", "Columns", "Imported", "import_answers"]
