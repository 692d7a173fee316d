"""Asking a model that vLLM runs from within this program."""
