"""Answers of a run shown to people: a sample of them, a page on this machine, and tables in and out."""
