"""Evidence in answers: what a model says it saw, when and where. Read, converted between forms, made into steps.

found = read_evidence(text)               # things, spans of seconds, boxes as they stand
write_evidence(found, "open-o3")          # the same in another form
predicted_steps(record, found, ...)       # the same as predicted steps 1 and 2
"""

from cotasks.evidence.evidence import Evidence, Instance, Piece, TimedBox
from cotasks.evidence.forms import FORMS, convert, read_evidence, write_evidence
from cotasks.evidence.steps import predicted_steps

__all__ = [
    "FORMS",
    "Evidence",
    "Instance",
    "Piece",
    "TimedBox",
    "convert",
    "predicted_steps",
    "read_evidence",
    "write_evidence",
]
