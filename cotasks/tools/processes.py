"""Worker processes: how they are started, and how they end with the process that started them."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from multiprocessing import connection
from multiprocessing.context import BaseContext


def start_method() -> BaseContext:
    """How processes are started: by fork on Linux while this process has one Python thread, else anew.

    A fork starts at once and shares modules and plans, where a new interpreter imports for about a second, more than
    it then saves. It copies locks in the state that they are in, so it is safe only where no other thread could hold
    one. The threads that OpenBLAS and Arrow keep are no such danger: both libraries see to them at a fork, and the
    workers use neither's. Elsewhere than on Linux system libraries may not survive a fork.
    """
    can_fork = sys.platform == "linux" and threading.active_count() == 1
    return multiprocessing.get_context("fork" if can_fork else "spawn")


def end_with_parent() -> None:
    """A pool's worker would wait for jobs for ever where its parent was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
