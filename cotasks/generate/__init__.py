"""How `cotasks.generate` works: prompts made ready, batches, the model called, work shared among processes."""
