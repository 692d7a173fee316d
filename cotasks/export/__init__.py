"""Runs and records for other programs; one file a format, one row of `formats.FORMATS` each."""

from cotasks.export.formats import FORMATS, Written, format_named
from cotasks.export.judged import Judged, read_judged
from cotasks.export.scenes import Subject, detections

__all__ = ["FORMATS", "Judged", "Subject", "Written", "detections", "format_named", "read_judged"]
