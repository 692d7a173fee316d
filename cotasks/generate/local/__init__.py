"""Asking a model in this process: encoding, batches, vision features."""
