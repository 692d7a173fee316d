"""Locks: only a held one keeps others out; builds and runs take them; files that cannot be written are named."""

from __future__ import annotations

import errno
import fcntl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cotasks.builders.publish.folder import build_folder
from cotasks.builders.sources import BuildOptions
from cotasks.errors import InputError
from cotasks.generate import processes
from cotasks.generate.processes import LauncherGone, Processes
from cotasks.runs import folder as runs
from cotasks.servers.address import server_url
from cotasks.tools.locks import is_held, locked
from cotasks.words.plain import printable

HOLDER = """
import sys
from pathlib import Path
from cotasks.tools.locks import locked
with locked(Path(sys.argv[1]), "held"):
    print("holding", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Any:
    """Another process that holds `tmp_path/.a.lock`; it is killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / ".a.lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"holding\n"
    yield process
    process.kill()
    process.communicate()


def test_a_lock_keeps_others_out_and_dies_with_its_process(holder: Any, tmp_path: Path) -> None:
    path = tmp_path / ".a.lock"
    assert is_held(path)
    with pytest.raises(InputError, match="somebody is here"), locked(path, "somebody is here"):
        pass
    holder.kill()
    holder.wait()
    assert not is_held(path)
    with locked(path, "somebody is here"):
        pass


def test_a_lock_file_goes_where_asked(tmp_path: Path) -> None:
    for remove in (False, True):
        with locked(tmp_path / "l", "held", remove=remove):
            assert (tmp_path / "l").exists()
        assert (tmp_path / "l").exists() is not remove


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_flock_nobody_is_kept_out(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(*_: object) -> None:
        raise OSError(number, "not here")

    monkeypatch.setattr(fcntl, "flock", missing)
    with runs.locked(tmp_path, "generate"):  # POSIX locks do instead
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(fcntl, "lockf", missing)
    with runs.locked(tmp_path, "generate"):
        assert not is_held(tmp_path / ".generate.lock")
    assert "no lock can be held here" in capsys.readouterr().err


def test_one_build_at_a_time(tmp_path: Path) -> None:
    with (
        locked(tmp_path / ".out.lock", "held"),
        pytest.raises(InputError, match=r"out: another process is building there"),
    ):
        build_folder(BuildOptions("sample"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    build_folder(BuildOptions("sample", limit=1), tmp_path / "out", ["test"])
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".lock")] == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_named_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").symlink_to("/dev/full")
    appender = runs.Appender(tmp_path / "a.jsonl")
    with pytest.raises(InputError, match=r"a\.jsonl: cannot be written: No space left on device"):
        appender.append({"id": "a"})


def test_processes_whose_launcher_has_died_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        """A store in which nobody says anything."""

        def check(self, names: list[str]) -> bool:
            return False

    alone = Processes(0, 2, 2, Silent())
    monkeypatch.setattr(processes, "MEETING_SECONDS", 0.2)
    with pytest.raises(InputError, match="process 0 of 2 did not begin within"):
        alone.wait_until_joined()
    with pytest.raises(LauncherGone):
        Processes(0, 2, 2, Silent(), launcher=-1).wait_until_joined()
    with pytest.raises(InputError, match="the main process gave up: it is gone"):
        Processes(1, 2, 2, Silent(), launcher=-1).wait_for_main("plan")


@pytest.mark.parametrize(
    "url",
    [
        "https://user:pass-word@host/v1",
        "https:/user:pass-word@host/v1",
        "http://host/v1;pass-word",
        "http://host/v1/sk-pass-word-1234",
        "http://host/0123456789abcdefpassword0123456789abcdef/v1",
        "user%3Apass-word%40host",
        "http://host/v1?key=pass-word",
        "http://host/v1#pass-word",
    ],
)
def test_no_secret_of_an_address_is_shown(url: str) -> None:
    with pytest.raises(InputError) as caught:
        server_url(url)
    assert "pass" not in str(caught.value).replace("holds a password", "")


@pytest.mark.parametrize("url", ["http://localhost:8000/v1", "https://host/openai/deployments/gpt-4.1-mini-2025/v1"])
def test_addresses_without_secrets_pass(url: str) -> None:
    assert server_url(url) == url


def test_control_characters_stay_off_the_terminal() -> None:
    assert printable("a\x1b[31mb\x00\u202e\n\tc é 猫") == "a\\x1b[31mb\\x00\\u202e\n\tc é 猫"
