"""The run folder, and folders of predicted steps."""
