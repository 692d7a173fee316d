"""Steps predicted by a model."""
