"""A Hub on the loopback interface: the part of the HTTP interface that huggingface_hub and `datasets` use to publish
and load a data set through plain LFS, with faults on request.

    with Hub() as hub:
        hub.fault = lambda request: "drop" if request.path.endswith("/commit/main") else None

Everything is kept in memory. Repositories have one branch, `main`, and tags. What is stored outlives the client, so a
client can be killed and started again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_loopbackTokenThatMayWrite"
READ_TOKEN = "hf_loopbackTokenThatMayRead"
PAGE = 3
"""Entries of a page of a repository's tree."""


@dataclass(frozen=True)
class Request:
    """A request as it comes in, before its body is read."""

    number: int
    """From 1, over all requests."""
    method: str
    path: str
    query: dict[str, list[str]]

    @property
    def writes(self) -> bool:
        """Whether it is meant to change something; asking for the information of paths is a POST too."""
        return self.method not in ("GET", "HEAD") and "/paths-info/" not in self.path


Fault = Callable[[Request], "str | int | None"]
"""None: answer. `drop`: read half of the body, close the connection. `drop_answer`: do it, close without an answer.
A number: answer with that status. Called in the thread of the request, so it may also wait."""


@dataclass
class File:
    """A file of a commit."""

    content: bytes
    lfs: bool

    @property
    def blob_id(self) -> str:
        """What Git calls the content of a small file; a large one has a pointer there."""
        content = self.content
        if self.lfs:
            content = f"oid sha256:{self.sha256}\nsize {len(self.content)}\n".encode()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def sha256(self) -> str:
        """Of the content, in hex."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass
class Commit:
    """A state of a repository."""

    oid: str
    message: str
    files: dict[str, File]


@dataclass
class Repo:
    """A data set repository."""

    private: bool
    commits: list[Commit] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    def at(self, revision: str) -> Commit | None:
        """The commit of `main`, a tag or an oid."""
        if revision == "main":
            return self.commits[-1]
        oid = self.tags.get(revision, revision)
        return next((commit for commit in self.commits if commit.oid == oid), None)

    @property
    def files(self) -> dict[str, bytes]:
        """Path -> content on `main`, without what every repository starts with."""
        return {path: file.content for path, file in self.commits[-1].files.items() if path != ".gitattributes"}


class Hub:
    """The server and what it stores."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.stored: dict[str, bytes] = {}
        """sha256 -> LFS content that arrived."""
        self.parts: dict[str, dict[int, bytes]] = {}
        """sha256 -> parts of it that arrived."""
        self.received: list[str] = []
        """sha256 of each LFS file that arrived whole, in order, repeated if it was sent again."""
        self.log: list[Request] = []
        self.part_bytes = 100_000
        """LFS files above are sent in parts of so many bytes."""
        self.fault: Fault = lambda request: None
        self.lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Hub:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def create(self, repo_id: str, private: bool = False) -> Repo:
        """A repository as the Hub makes it, with its first commit."""
        repo = self.repos[repo_id] = Repo(private)
        attributes = b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"
        self.commit(repo_id, "initial commit", {".gitattributes": File(attributes, lfs=False)})
        return repo

    def commit(self, repo_id: str, message: str, files: dict[str, File]) -> str:
        """Put a commit on `main`; returns its oid."""
        commits = self.repos[repo_id].commits
        listing = sorted((path, file.sha256) for path, file in files.items())
        oid = hashlib.sha1(repr((len(commits), message, listing)).encode()).hexdigest()
        commits.append(Commit(oid, message, files))
        return oid

    def writes(self) -> list[Request]:
        """The requests so far that meant to change something."""
        return [request for request in self.log if request.writes]


class _Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body go out in two writes
    hub: Hub

    def log_message(self, *_: object) -> None:
        """Be quiet."""

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        with self.hub.lock:
            request = Request(len(self.hub.log) + 1, self.command, unquote(parts.path), parse_qs(parts.query))
            self.hub.log.append(request)
        fault = self.hub.fault(request)
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length // 2 if fault == "drop" else length)
        if fault == "drop":
            return self._hang_up()
        try:
            if isinstance(fault, int):
                # with 401 the Hub does not tell a missing repository from one that the token does not open
                raise _Refused(fault, "told to fail", "RepoNotFound" if fault == 401 else None)
            if len(self.body) < length:
                return self._hang_up()  # the client died
            status, headers, content = self._answer(request)
        except _Refused as error:
            status, content = error.status, json.dumps({"error": error.message}).encode()
            headers = {"X-Error-Message": error.message, **({"X-Error-Code": error.code} if error.code else {})}
        if fault == "drop_answer":
            return self._hang_up()
        try:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
        except OSError:
            self.close_connection = True  # the client died

    do_GET = do_HEAD = do_POST = do_PUT = _handle

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        if match := re.fullmatch(r"/lfs/([0-9a-f]{64})/(\d+)", request.path):
            etag = self._put(match[1], int(match[2]))
            return 200, {"ETag": etag}, b""
        if match := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", request.path):
            return self._resolve(self._repo(match[1]), match[2], match[3])
        for method, pattern, answer in _ROUTES:
            match = re.fullmatch(pattern, request.path)
            if match and method == request.method:
                result = answer(self, request, **match.groupdict())
                headers = {"Content-Type": "application/json"}
                if isinstance(result, tuple):
                    result, link = result
                    headers |= {"Link": link} if link else {}
                return 200, headers, json.dumps(result).encode()
        raise _Refused(404, f"no such address: {request.method} {request.path}")

    def _json(self) -> Any:
        return json.loads(self.body)

    def _role(self) -> str | None:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if given not in ("", TOKEN, READ_TOKEN):
            raise _Refused(401, "Invalid credentials in Authorization header")
        return {TOKEN: "write", READ_TOKEN: "read"}.get(given)

    def _need_write(self) -> None:
        role = self._role()
        if role != "write":
            raise _Refused(403 if role else 401, "you need a token that may write")

    def _repo(self, name: str) -> Repo:
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and self._role() is None):
            raise _Refused(404 if self._role() else 401, "Repository not found", "RepoNotFound")
        return repo

    def _commit_at(self, repo: Repo, revision: str) -> Commit:
        commit = repo.at(revision)
        if commit is None:
            raise _Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    # reading

    def _info(self, request: Request, repo: str, revision: str = "main") -> Any:
        found = self._repo(repo)
        commit = self._commit_at(found, revision)
        siblings = [{"rfilename": path} for path in sorted(commit.files)]
        return {"id": repo, "sha": commit.oid, "private": found.private, "siblings": siblings, "tags": []}

    def _refs(self, request: Request, repo: str) -> Any:
        found = self._repo(repo)
        branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": found.commits[-1].oid}
        tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": oid} for n, oid in found.tags.items()]
        return {"branches": [branch], "converts": [], "tags": tags}

    def _tree(self, request: Request, repo: str, revision: str, under: str | None = None) -> Any:
        commit = self._commit_at(self._repo(repo), revision)
        entries = _entries(commit)
        base = under.strip("/") if under else ""
        if base and base not in entries:
            raise _Refused(404, f"{base} does not exist", "EntryNotFound")
        deep = request.query.get("recursive", ["false"])[0].lower() == "true"
        inside = [
            entry
            for path, entry in sorted(entries.items())
            if path != base
            and PurePosixPath(base) in [PurePosixPath(path), *PurePosixPath(path).parents]
            and (deep or PurePosixPath(path).parent == PurePosixPath(base))
        ]
        start = int(request.query.get("cursor", ["0"])[0])
        link = None
        if start + PAGE < len(inside):
            address = self.path.split("?")[0]
            link = f'<{self.hub.endpoint}{address}?recursive={deep}&cursor={start + PAGE}>; rel="next"'
        return inside[start : start + PAGE], link

    def _paths_info(self, request: Request, repo: str, revision: str) -> Any:
        entries = _entries(self._commit_at(self._repo(repo), revision))
        wanted = parse_qs(self.body.decode()).get("paths", [])
        return [entries[path] for path in wanted if path in entries]

    def _resolve(self, repo: Repo, revision: str, path: str) -> tuple[int, dict[str, str], bytes]:
        commit = self._commit_at(repo, revision)
        if path not in commit.files:
            raise _Refused(404, f"{path} does not exist", "EntryNotFound")
        file = commit.files[path]
        etag = f'"{file.sha256 if file.lfs else file.blob_id}"'
        headers = {"ETag": etag, "X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes"}
        headers |= {"X-Linked-Etag": etag, "X-Linked-Size": str(len(file.content))} if file.lfs else {}
        given = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if given is None:
            return 200, headers, file.content
        start, total = int(given[1]), len(file.content)
        end = min(int(given[2]) + 1, total) if given[2] else total
        return 206, {**headers, "Content-Range": f"bytes {start}-{end - 1}/{total}"}, file.content[start:end]

    # writing

    def _create(self, request: Request) -> Any:
        self._need_write()
        asked = self._json()
        assert asked["type"] == "dataset"
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.hub.repos:
            raise _Refused(409, "You already created this dataset repo")
        self.hub.create(name, asked.get("visibility") == "private")
        return {"url": f"{self.hub.endpoint}/datasets/{name}", "name": name}

    def _validate(self, request: Request) -> Any:
        import yaml

        content = self._json()["content"]
        head = yaml.safe_load(content.split("---\n")[1]) if content.startswith("---\n") else None
        if not isinstance(head, dict) or "license" not in head:
            raise _Refused(400, "the card has no licence")
        return {"errors": [], "warnings": []}

    def _preupload(self, request: Request, repo: str) -> Any:
        self._need_write()
        files = self._repo(repo).commits[-1].files
        answer = []
        for asked in self._json()["files"]:
            path, lfs = asked["path"], asked["path"].endswith(".parquet") or asked["size"] > 10_000_000
            there = files.get(path)
            oid = {"oid": there.sha256 if there.lfs else there.blob_id} if there else {}
            mode = "lfs" if lfs else "regular"
            answer.append({"path": path, "uploadMode": mode, "shouldIgnore": self._ignored(files, path), **oid})
        return {"files": answer}

    def _ignored(self, files: dict[str, File], path: str) -> bool:
        listed = files[".gitignore"].content.decode().split() if ".gitignore" in files else []
        return any(PurePosixPath(path).match(pattern) for pattern in listed)

    def _batch(self, request: Request, repo: str) -> Any:
        self._need_write()
        self._repo(repo)
        objects = []
        for asked in self._json()["objects"]:
            oid, size = asked["oid"], asked["size"]
            if oid in self.hub.stored:
                objects.append({"oid": oid, "size": size})
                continue
            upload: dict[str, Any] = {"href": f"{self.hub.endpoint}/lfs/{oid}/0"}
            if size > self.hub.part_bytes:
                count = -(-size // self.hub.part_bytes)
                links = {str(n): f"{self.hub.endpoint}/lfs/{oid}/{n}" for n in range(1, count + 1)}
                upload = {
                    "href": f"{self.hub.endpoint}/lfs-complete/{oid}",
                    "header": {"chunk_size": str(self.hub.part_bytes), **links},
                }
            verify = {"href": f"{self.hub.endpoint}/lfs-verify"}
            objects.append({"oid": oid, "size": size, "actions": {"upload": upload, "verify": verify}})
        return {"transfer": "basic", "objects": objects}

    def _put(self, oid: str, number: int) -> str:
        """Keep a file, or with a number from 1 a part of it."""
        if number == 0:
            self._store(oid, self.body)
        else:
            with self.hub.lock:
                self.hub.parts.setdefault(oid, {})[number] = self.body
        return f'"{hashlib.md5(self.body).hexdigest()}"'

    def _complete(self, request: Request, oid: str) -> Any:
        parts = self.hub.parts.pop(oid, {})
        named = [part["partNumber"] for part in self._json()["parts"]]
        if sorted(parts) != named:
            raise _Refused(400, f"parts {sorted(parts)} arrived, not {named}")
        self._store(oid, b"".join(parts[number] for number in named))
        return {}

    def _store(self, oid: str, content: bytes) -> None:
        if hashlib.sha256(content).hexdigest() != oid:
            raise _Refused(400, "the content is not what its name says")
        with self.hub.lock:
            self.hub.stored[oid] = content
            self.hub.received.append(oid)

    def _verify(self, request: Request) -> Any:
        asked = self._json()
        if len(self.hub.stored.get(asked["oid"], b"")) != asked["size"]:
            raise _Refused(404, "the file did not arrive")
        return {}

    def _make_commit(self, request: Request, repo: str) -> Any:
        self._need_write()
        found = self._repo(repo)
        header, *operations = [json.loads(line) for line in self.body.splitlines()]
        parent = header["value"].get("parentCommit")
        if parent is not None and parent != found.commits[-1].oid:
            raise _Refused(412, "A commit has happened since. Please refresh and try again.")
        files = dict(found.commits[-1].files)
        for operation in operations:
            key, value = operation["key"], operation["value"]
            path = value["path"]
            if key == "file":
                files[path] = File(base64.b64decode(value["content"]), lfs=False)
            elif key == "lfsFile":
                if value["oid"] not in self.hub.stored:
                    raise _Refused(400, f"{path}: the LFS file did not arrive")
                files[path] = File(self.hub.stored[value["oid"]], lfs=True)
            elif key == "deletedFile":
                if path not in files:
                    raise _Refused(404, "A file with this name doesn't exist", "EntryNotFound")
                del files[path]
            else:
                raise _Refused(400, f"unknown operation {key}")
        oid = self.hub.commit(repo, header["value"]["summary"], files)
        address = f"{self.hub.endpoint}/datasets/{repo}/commit/{oid}"
        return {"success": True, "commitOid": oid, "commitUrl": address, "hookOutput": ""}

    def _tag(self, request: Request, repo: str, revision: str) -> Any:
        self._need_write()
        found = self._repo(repo)
        name = self._json()["tag"]
        if name in found.tags:
            raise _Refused(409, f"Tag reference exists already: {name}")
        found.tags[name] = self._commit_at(found, revision).oid
        return {}


def _entries(commit: Commit) -> dict[str, dict[str, Any]]:
    """Path -> what the Hub says of a file or folder."""
    entries: dict[str, dict[str, Any]] = {}
    for path, file in commit.files.items():
        for parent in PurePosixPath(path).parents:
            if str(parent) != ".":
                oid = hashlib.sha1(str(parent).encode()).hexdigest()
                entries[str(parent)] = {"type": "directory", "path": str(parent), "oid": oid, "size": 0}
        entry: dict[str, Any] = {"type": "file", "path": path, "oid": file.blob_id, "size": len(file.content)}
        if file.lfs:
            entry["lfs"] = {"oid": file.sha256, "size": len(file.content), "pointerSize": 130}
        entries[path] = entry
    return entries


_REPO = r"/api/datasets/(?P<repo>[^/]+/[^/]+)"
_ROUTES: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("GET", _REPO, _Handler._info),
    ("GET", _REPO + r"/revision/(?P<revision>[^/]+)", _Handler._info),
    ("GET", _REPO + r"/refs", _Handler._refs),
    ("GET", _REPO + r"/tree/(?P<revision>[^/]+)(?P<under>/.*)?", _Handler._tree),
    ("POST", _REPO + r"/paths-info/(?P<revision>[^/]+)", _Handler._paths_info),
    ("POST", r"/api/repos/create", _Handler._create),
    ("POST", r"/api/validate-yaml", _Handler._validate),
    ("POST", _REPO + r"/preupload/main", _Handler._preupload),
    ("POST", r"/datasets/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch", _Handler._batch),
    ("POST", r"/lfs-complete/(?P<oid>[0-9a-f]{64})", _Handler._complete),
    ("POST", r"/lfs-verify", _Handler._verify),
    ("POST", _REPO + r"/commit/main", _Handler._make_commit),
    ("POST", _REPO + r"/tag/(?P<revision>[^/]+)", _Handler._tag),
)
