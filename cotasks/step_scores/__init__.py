"""Predicted steps against the true ones: the table, the judge of their texts, the report."""
