"""Processes that tests start: forked from one that has torch and the tiny model in memory, and their ports."""

from __future__ import annotations

import multiprocessing
import socket

FORKSERVER = multiprocessing.get_context("forkserver")
# an import of torch and transformers takes longer than what most tests do in a process
FORKSERVER.set_forkserver_preload(["tests.preloaded"])

_held: list[socket.socket] = []


def own_port() -> int:
    """A port of 127.0.0.1 for a server in another process; nobody else is given it as long as this process lives.

    It is bound here without being listened on. A server may bind it as well, since both say SO_REUSEADDR.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    _held.append(holder)
    return int(holder.getsockname()[1])
