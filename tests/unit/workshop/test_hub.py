"""Checkpoints by name: from a cache as huggingface_hub lays it out, and what its refusals say."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.harness.toolchains import needs
from tests.unit.workshop.checkpoints import Recipe, write_checkpoint
from trivet.cli import main as trivet
from trivet.errors import InvalidConfig
from trivet_backends.workshop import hub
from trivet_backends.workshop.hub import HubName, checkpoint_folder, hub_name

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("owner/name", HubName(name="owner/name", revision=None)),
        ("owner/name@v1.2", HubName(name="owner/name", revision="v1.2")),
        ("owner/name@refs/pr/3", HubName(name="owner/name", revision="refs/pr/3")),
        ("bert-base-uncased", HubName(name="bert-base-uncased", revision=None)),
        ("./owner/name", None),
        ("owner/name/more", None),
        ("/owner/name", None),
        ("../name", None),
        ("owner/na..me", None),
        ("owner/name@", None),
        ("owner name", None),
        ("", None),
    ],
)
def test_what_names_a_checkpoint_on_the_hub(text: str, named: HubName | None) -> None:
    assert hub_name(text) == named


def test_a_folder_that_is_here_goes_before_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert checkpoint_folder("owner/name") == Path("owner/name")


def test_a_path_that_leads_nowhere_is_for_the_reader_to_refuse(tmp_path: Path) -> None:
    assert checkpoint_folder(str(tmp_path / "nothing")) == tmp_path / "nothing"


def test_without_huggingface_hub_the_refusal_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub, "find_spec", lambda name: None)
    with pytest.raises(InvalidConfig, match=r"pip install 'trivet\[hub\]', or give a folder"):
        checkpoint_folder("owner/name")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def fill(cache: Path, reference: str = "main", name: str = "owner--tiny") -> Path:
    """A checkpoint in the cache as the library leaves it; returns the snapshot's folder."""
    stored = cache / f"models--{name}"
    snapshot = stored / "snapshots" / COMMIT
    made = write_checkpoint(stored / "made", Recipe(head=False))
    (stored / "blobs").mkdir()
    snapshot.mkdir(parents=True)
    for path in sorted(made.iterdir()):
        blob = stored / "blobs" / f"etag-of-{path.name}"
        path.rename(blob)
        (snapshot / path.name).symlink_to(Path("..", "..", "blobs", blob.name))
    made.rmdir()
    refs = stored / "refs" / reference
    refs.parent.mkdir(parents=True)
    refs.write_text(COMMIT)
    return snapshot


@needs("hub")
@pytest.mark.parametrize("revision", ["", "@v1", f"@{COMMIT}"])
def test_a_cached_checkpoint_is_had_offline_by_branch_tag_and_commit(
    cache: Path, revision: str
) -> None:
    snapshot = fill(cache, "v1" if revision == "@v1" else "main")
    assert checkpoint_folder(f"owner/tiny{revision}").resolve() == snapshot.resolve()


@needs("hub")
def test_build_and_export_take_a_cached_name(cache: Path, tmp_path: Path) -> None:
    fill(cache)
    out, models = tmp_path / "out", tmp_path / "models"
    assert trivet(["export", "owner/tiny@main", "--to", "safetensors", "--output", str(out)]) == 0
    assert (out / "safetensors" / "model.safetensors").is_file()
    assert trivet(["build", "owner/tiny", "--model-repository", str(models)]) == 0
    assert (models / "tiny" / "1" / "model.onnx").is_file()


@needs("hub")
def test_offline_what_is_not_in_the_cache_is_refused_with_the_switch(cache: Path) -> None:
    fill(cache)
    for text in ("owner/other", "owner/tiny@v9"):
        with pytest.raises(InvalidConfig) as refused:
            checkpoint_folder(text)
        assert f"{text}: is no folder here nor whole in the cache" in str(refused.value)
        assert "HF_HUB_OFFLINE is set; unset it" in str(refused.value)


@needs("hub")
def test_without_a_network_the_cache_is_used_and_else_the_refusal_says_so(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    # Nobody listens there: whoever had the port has just left it.
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as gone:
        address = f"http://127.0.0.1:{gone.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    snapshot = fill(cache)
    assert checkpoint_folder("owner/tiny").resolve() == snapshot.resolve()
    with pytest.raises(InvalidConfig, match=r"the Hub cannot be reached; connect to a network"):
        checkpoint_folder("owner/other")


class Hub(BaseHTTPRequestHandler):
    """Knows owner/tiny at revision main, a gated model, and nothing else."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        files: Path = self.server.files  # type: ignore[attr-defined]
        if path.startswith("/api/models/owner/gated"):
            self._answer(403, b"{}", {"X-Error-Code": "GatedRepo"})
        elif path.startswith("/api/models/owner/tiny/revision/main"):
            self._answer(200, json.dumps({"id": "owner/tiny", "sha": COMMIT}).encode())
        elif path.startswith("/api/models/owner/tiny/revision/"):
            self._answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif path.startswith("/api/models/owner/tiny/tree/"):
            listed = [
                {"type": "file", "path": one.name, "size": one.stat().st_size, "oid": one.name}
                for one in sorted(files.iterdir())
            ]
            self._answer(200, json.dumps(listed).encode())
        elif path.startswith("/owner/tiny/resolve/"):
            self._file(files / Path(path).name)
        else:
            self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET  # noqa: N815  # the name that http.server calls

    def _file(self, path: Path) -> None:
        if self.command == "GET":
            self.server.fetched.append(path.name)  # type: ignore[attr-defined]
        headers = {"ETag": f'"{path.name}"', "X-Repo-Commit": COMMIT}
        self._answer(200, path.read_bytes(), headers)

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nobody reads it."""


@pytest.fixture
def fetched(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the files fetched from a hub in this process."""
    from huggingface_hub import constants

    files = write_checkpoint(tmp_path / "files", Recipe(head=False))
    for other in ("pytorch_model.bin", "tf_model.h5", "README.md", "model.onnx"):
        (files / other).write_bytes(b"large")
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        server.files, server.fetched = files, []  # type: ignore[attr-defined]
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        template = constants.ENDPOINT + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.fetched  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()


@needs("hub")
def test_only_the_files_needed_are_fetched_and_once(fetched: list[str]) -> None:
    folder = checkpoint_folder("owner/tiny@main")
    needed = ["config.json", "model.safetensors", "tokenizer.json"]
    assert sorted(path.name for path in folder.iterdir()) == needed
    assert sorted(fetched) == needed
    assert checkpoint_folder("owner/tiny") == folder
    assert sorted(fetched) == needed


@needs("hub")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("owner/gated", r"is gated; ask for access on its page, then log in with `hf auth login`"),
        ("owner/tiny@v9", r"has no revision 'v9'; give a branch, a tag or a commit"),
        ("owner/nobody", r"is neither a folder here nor known to the Hub; check the name"),
    ],
)
def test_a_refusal_of_the_hub_says_why_and_what_to_do(
    fetched: list[str], text: str, words: str
) -> None:
    with pytest.raises(InvalidConfig, match=words):
        checkpoint_folder(text)
    assert not fetched
