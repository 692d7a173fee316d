"""Records: the row and its features, time and boxes, and where rows are loaded from."""

from cotasks.records.dataset import Records, load_records
from cotasks.records.from_arrow import table_to_records
from cotasks.records.schema import FEATURES, Record, records_to_table

__all__ = ["FEATURES", "Record", "Records", "load_records", "records_to_table", "table_to_records"]
