"""Annotation that other programs wrote -> own data; one file a format, one row of `table.FORMATS` each."""

from cotasks.convert.building import Told
from cotasks.convert.detections import from_detections
from cotasks.convert.table import FORMATS, convert

__all__ = ["FORMATS", "Told", "convert", "from_detections"]
