"""A Hub on 127.0.0.1: the part of its HTTP interface that making, filling and loading a model repository needs.

`huggingface_hub` reads `HF_ENDPOINT` and `HF_HUB_OFFLINE` when it is imported, so that clients are processes of their
own, started with `LoopbackHub.environment`. They run the genuine client; the tests look at the server's side.
Files are sent and stored as regular files: LFS and Xet storage are not there.
"""

import base64
import hashlib
import json
import os
import re
import socket
import struct
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit


OWNER, TOKEN = "tester", "hf_token_of_the_owner"
STRANGER, STRANGER_TOKEN = "stranger", "hf_token_of_a_stranger"
# a dataset repository is stored as `datasets/OWNER/NAME`
_NAME = r"(?P<repo>(?:datasets/)?[^/]+/[^/]+)"
_API = rf"/api/(?:models/|(?=datasets/)){_NAME}"
# kind of request -> method and path; the first that fits decides
_ROUTES = {
    "mark": ("GET", r"/mark/(?P<name>.+)"),
    "whoami": ("GET", r"/api/whoami-v2"),
    "create": ("POST", r"/api/repos/create"),
    "validate_yaml": ("POST", r"/api/validate-yaml"),
    "preupload": ("POST", rf"{_API}/preupload/(?P<revision>[^/]+)"),
    "commit": ("POST", rf"{_API}/commit/(?P<revision>[^/]+)"),
    "branch": ("POST", rf"{_API}/branch/(?P<name>[^/]+)"),
    "tag": ("POST", rf"{_API}/tag/(?P<revision>[^/]+)"),
    "refs": ("GET", rf"{_API}/refs"),
    "tree": ("GET", rf"{_API}/tree/(?P<revision>[^/]+)(?:/(?P<path>.+))?"),
    "info": ("GET", rf"{_API}(?:/revision/(?P<revision>[^/]+))?"),
    "head": ("HEAD", rf"/{_NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)"),
    "get": ("GET", rf"/{_NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)"),
}


@dataclass
class Commit:
    """The files of a repository at one time."""

    files: dict[str, bytes]
    title: str
    parent: str | None = None
    number: int = field(default_factory=count().__next__)  # no two commits are the same

    @property
    def sha(self) -> str:
        content = [
            f"{self.number} {self.title} {self.parent}",
            *(f"{path} {git_id(self.files[path])}" for path in sorted(self.files)),
        ]
        return hashlib.sha1("\n".join(content).encode()).hexdigest()


@dataclass
class Repository:
    """Commits by their sha, and the names that stand for some of them."""

    private: bool = False
    gated: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def sha(self, revision: str) -> str | None:
        """The commit that a branch, a tag or a sha names."""
        found = self.branches.get(revision) or self.tags.get(revision) or revision
        return found if found in self.commits else None

    def add(self, branch: str, commit: Commit) -> str:
        self.commits[commit.sha] = commit
        self.branches[branch] = commit.sha
        return commit.sha


@dataclass
class Fault:
    """What happens to requests of a kind instead of, or after, their answer."""

    kind: str
    path: str
    status: int | None = None  # answer this, and do nothing
    cut: int | None = None  # break the connection after so many bytes: of the file sent, or of the body received
    reset: bool = True  # break it by a reset, and not by a plain end
    lost: bool = False  # do what is asked, and break the connection instead of answering
    skip: int = 0  # so many requests are answered before
    times: int | None = None  # None: always


class Refusal(Exception):
    """An answer that is no success, with the headers the client reads its errors from."""

    def __init__(
        self, status: int, code: str | None = None, message: str = "", content: dict | None = None, **headers: str
    ):
        super().__init__(message)
        self.status, self.content = status, {"error": message, **(content or {})}
        self.headers = headers | ({"X-Error-Code": code} if code else {})
        if message:
            self.headers["X-Error-Message"] = message


def git_id(content: bytes) -> str:
    """The name git gives to a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class LoopbackHub:
    """The server, what it stores, what it was asked, and the faults to show. A context manager.

    Attributes:
        requests: `(kind, method and path, status)` of each request, in order; the status is 0 where the connection
            was broken.
    """

    def __init__(self):
        self.repositories: dict[str, Repository] = {}
        self.requests: list[tuple[str, str, int]] = []
        self.faults: list[Fault] = []
        self.lock = threading.RLock()
        self.users = {TOKEN: OWNER, STRANGER_TOKEN: STRANGER}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.server.daemon_threads, self.server.hub = True, self
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> "LoopbackHub":
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exception):
        self.server.shutdown()
        self.server.server_close()

    def environment(self, home: Path, token: str | None = TOKEN, offline: bool = False) -> dict[str, str]:
        """The environment of a client whose cache, and nothing else, is in `home`."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "PYTHONPATH"))}
        settings = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_OFFLINE": str(int(offline))}
        settings |= {name: "1" for name in ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY", "OMP_NUM_THREADS")}
        settings |= {"HF_HUB_ETAG_TIMEOUT": "5", "HF_HUB_DOWNLOAD_TIMEOUT": "5", "NO_PROXY": "127.0.0.1"}
        return clean | settings | ({"HF_TOKEN": token} if token else {})

    # faults and counts

    def fail(self, kind: str, path: str, status: int, **when):
        """Answer `status` to requests of a kind whose path matches the pattern."""
        self.faults.append(Fault(kind, path, status=status, **when))

    def cut(self, kind: str, path: str, after: int, **how):
        """Break the connection after `after` bytes of the file (kind `get`) or of what the client sends."""
        self.faults.append(Fault(kind, path, cut=after, **how))

    def lose_answer(self, kind: str, path: str):
        """Do what requests ask, but never answer."""
        self.faults.append(Fault(kind, path, lost=True))

    def fault_of(self, kind: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.kind == kind and re.search(fault.path, path) and fault.times != 0:
                    if fault.skip:
                        fault.skip -= 1
                        continue
                    fault.times = None if fault.times is None else fault.times - 1
                    return fault
        return None

    def counts(self, mark: str) -> Counter:
        """Requests by kind, from that for `/mark/<mark>`, by which a client says where it is, to the next mark."""
        places = [number for number, request in enumerate(self.requests) if request[0] == "mark"]
        start = next(number for number in places if self.requests[number][1] == f"GET /mark/{mark}")
        end = next((number for number in places if number > start), None)
        return Counter(kind for kind, _, _ in self.requests[start + 1 : end])

    # what is stored

    def seed(self, repo_id: str, files: dict[str, bytes], private: bool = False, gated: bool = False) -> str:
        """Store a commit that nobody uploaded; its sha."""
        repository = self.repositories.setdefault(repo_id, Repository(private, gated))
        return repository.add("main", Commit(dict(files), "Seeded", repository.branches.get("main")))

    def files(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        repository = self.repositories[repo_id]
        return repository.commits[repository.sha(revision)].files

    def find(self, repo_id: str, user: str | None) -> Repository:
        """The repository, if there is one and `user` may know of it."""
        repository = self.repositories.get(repo_id)
        if repository is None or (repository.private and user != repo_id.split("/")[0]):
            raise Refusal(404 if user else 401, "RepoNotFound", "Repository not found")
        return repository

    # what each kind of request does; returns what is answered as JSON

    def mark(self, user, match, body, query):
        return {}

    def whoami(self, user, match, body, query):
        if user is None:
            raise Refusal(401, message="Invalid username or password.")
        return {"type": "user", "name": user, "auth": {"type": "access_token"}, "orgs": []}

    def create(self, user, match, body, query):
        asked = json.loads(body)
        repo_id = f"{asked.get('organization') or user}/{asked['name']}"
        if user is None:
            raise Refusal(401, message="Invalid username or password.")
        if not repo_id.startswith(f"{user}/"):
            raise Refusal(403, message=f"You don't have the rights to create a model under that namespace, {repo_id}")
        answer = {"url": f"{self.url}/{repo_id}", "name": repo_id, "id": repo_id}
        if repo_id in self.repositories:
            raise Refusal(409, message="You already created this model repo", content=answer)
        repository = self.repositories[repo_id] = Repository(private=asked.get("visibility") == "private")
        repository.add("main", Commit({".gitattributes": b"*.safetensors filter=lfs\n"}, "initial commit"))
        return answer

    def validate_yaml(self, user, match, body, query):
        if json.loads(body)["content"].startswith("---"):
            return {"errors": [], "warnings": []}
        return {"errors": [], "warnings": [{"message": "empty or missing yaml metadata in repo card"}]}

    def preupload(self, user, match, body, query):
        stored = self._at(user, match).files
        answers = []
        for asked in json.loads(body)["files"]:
            answer = {"path": asked["path"], "uploadMode": "regular", "shouldIgnore": False}
            if asked["path"] in stored:
                answer["oid"] = git_id(stored[asked["path"]])
            answers.append(answer)
        return {"files": answers}

    def commit(self, user, match, body, query):
        repository = self.find(match["repo"], user)
        if user != match["repo"].split("/")[0]:
            raise Refusal(403, message="You don't have write access to this repository")
        branch, entries = unquote(match["revision"]), [json.loads(line) for line in body.splitlines()]
        if branch not in repository.branches:
            raise Refusal(404, "RevisionNotFound", "Invalid rev id")
        header, parent = entries[0]["value"], repository.branches[branch]
        if header.get("parentCommit", parent) != parent:
            raise Refusal(412, message="A commit has happened since. Please refresh and try again.")
        files = dict(repository.commits[parent].files)
        for entry in entries[1:]:
            path = entry["value"]["path"]
            if entry["key"] == "file":
                files[path] = base64.b64decode(entry["value"]["content"])
            elif entry["key"] == "deletedFile":
                del files[path]
            else:
                raise Refusal(400, message=f"This Hub does not know {entry['key']}")
        sha = repository.add(branch, Commit(files, header["summary"], parent))
        return {"success": True, "commitOid": sha, "commitUrl": f"{self.url}/{match['repo']}/commit/{sha}"}

    def branch(self, user, match, body, query):
        repository, name = self.find(match["repo"], user), unquote(match["name"])
        if name in repository.branches:
            raise Refusal(409, message="Reference already exists")
        repository.branches[name] = repository.sha(json.loads(body).get("startingPoint", "main"))
        return {}

    def tag(self, user, match, body, query):
        repository = self.find(match["repo"], user)
        repository.tags[json.loads(body)["tag"]] = repository.sha(unquote(match["revision"]))
        return {}

    def refs(self, user, match, body, query):
        repository, answer = self.find(match["repo"], user), {"converts": [], "pullRequests": []}
        for kind, names in (("branches", repository.branches), ("tags", repository.tags)):
            answer[kind] = [
                {"name": name, "ref": f"refs/heads/{name}", "targetCommit": sha} for name, sha in names.items()
            ]
        return answer

    def info(self, user, match, body, query):
        commit, repository = self._at(user, match), self.repositories[match["repo"]]
        about = {"id": match["repo"], "modelId": match["repo"], "sha": commit.sha, "private": repository.private}
        about |= {"gated": "manual" if repository.gated else False, "tags": [], "downloads": 0, "likes": 0}
        return about | {"siblings": [{"rfilename": path} for path in sorted(commit.files)]}

    def tree(self, user, match, body, query):
        commit, folder = self._at(user, match), f"{match['path'].rstrip('/')}/" if match["path"] else ""
        recursive = query.get("recursive", ["false"])[0].lower() in ("true", "1")
        entries, folders = [], set()
        for path, content in sorted(commit.files.items()):
            rest = path.removeprefix(folder)
            if path.startswith(folder) and ("/" not in rest or recursive):
                entries.append({"type": "file", "path": path, "size": len(content), "oid": git_id(content)})
            elif path.startswith(folder):
                folders.add(folder + rest.split("/")[0])
        if folder and not entries and not folders:
            raise Refusal(404, "EntryNotFound", f"{folder} does not exist", **{"X-Repo-Commit": commit.sha})
        return [*({"type": "directory", "path": path, "size": 0, "oid": ""} for path in sorted(folders)), *entries]

    def file(self, user, match) -> tuple[str, bytes]:
        """The commit and the content of a file to download."""
        repository = self.find(match["repo"], user)
        if repository.gated and user != match["repo"].split("/")[0]:
            raise Refusal(403 if user else 401, "GatedRepo", f"Access to model {match['repo']} is restricted.")
        commit, path = self._at(user, match), unquote(match["path"])
        if path not in commit.files:
            raise Refusal(404, "EntryNotFound", "Entry not found", **{"X-Repo-Commit": commit.sha})
        return commit.sha, commit.files[path]

    def _at(self, user, match) -> Commit:
        repository = self.find(match["repo"], user)
        sha = repository.sha(unquote(match["revision"] or "main"))
        if sha is None:
            raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {match['revision']}")
        return repository.commits[sha]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *arguments):
        """The hub records its requests itself."""

    def _handle(self):
        hub, url = self.server.hub, urlsplit(self.path)
        kind, match = next(
            (
                (kind, found)
                for kind, (method, pattern) in _ROUTES.items()
                if method == self.command and (found := re.fullmatch(pattern, url.path))
            ),
            ("other", None),
        )
        fault = hub.fault_of(kind, url.path)
        length = int(self.headers.get("Content-Length") or 0)
        if fault and fault.cut is not None and length:
            self.rfile.read(min(length, fault.cut))
            return self._break(kind)
        body = self.rfile.read(length)
        try:
            if fault and fault.status:
                raise Refusal(fault.status, message=f"This Hub answers {fault.status}")
            if kind == "other":
                raise Refusal(404, message=f"This Hub has no {self.command} {url.path}")
            user = self._user()
            with hub.lock:
                done = hub.file(user, match) if kind in ("head", "get") else None
                content = getattr(hub, kind)(user, match, body, parse_qs(url.query)) if done is None else None
        except Refusal as refusal:
            return self._send(kind, refusal.status, json.dumps(refusal.content).encode(), refusal.headers)
        if fault and fault.lost:
            return self._break(kind)
        if done is None:
            return self._send(kind, 200, json.dumps(content).encode(), {"Content-Type": "application/json"})
        self._send_file(kind, *done, fault)

    do_GET = do_HEAD = do_POST = _handle

    def _user(self) -> str | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.server.hub.users:
            raise Refusal(401, message="Invalid credentials in Authorization header")
        return self.server.hub.users.get(token)

    def _send_file(self, kind: str, sha: str, content: bytes, fault: Fault | None):
        headers = {"ETag": f'"{git_id(content)}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        asked, status = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or ""), 200
        if asked:
            start = int(asked[1])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            content, status = content[start:], 206
        self._send(kind, status, content, headers, fault)

    def _send(self, kind: str, status: int, content: bytes, headers: dict[str, str], fault: Fault | None = None):
        cut = fault is not None and fault.cut is not None
        self.server.hub.requests.append((kind, f"{self.command} {self.path}", 0 if cut else status))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: fault.cut] if cut else content)
        if cut:
            self._break(None, fault.reset)

    def _break(self, kind: str | None, reset: bool = True):
        """End the connection; by a reset, so that the client loses what it has not read, or plainly."""
        if kind is not None:
            self.server.hub.requests.append((kind, f"{self.command} {self.path}", 0))
        self.wfile.flush()
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())  # `close` would wait for the files opened over the socket
        self.close_connection = True
