"""Where records come from: one reader a source file format, and the `datasets` builder over them.

Installed as `cotasks.builders`.
"""
