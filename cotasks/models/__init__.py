"""Model families, and models of them: loaded, tiny, repaired; messages as tensors."""

from cotasks.models.families import FAMILIES, Family
from cotasks.models.load import load_model
from cotasks.models.repairs import repair

__all__ = ["FAMILIES", "Family", "load_model", "repair"]
