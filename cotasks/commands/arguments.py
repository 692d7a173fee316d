"""What several commands take."""

from __future__ import annotations
