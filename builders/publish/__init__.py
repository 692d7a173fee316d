"""The publishable folder: written, read back, described, pushed."""
