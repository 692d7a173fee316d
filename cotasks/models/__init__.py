"""Model families, and models of them: loaded, tiny, repaired; messages as tensors."""
