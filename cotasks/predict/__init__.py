"""Steps predicted by a model."""

from cotasks.predict.run import predict

__all__ = ["predict"]
