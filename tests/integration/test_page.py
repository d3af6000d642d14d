"""The page to look at, as a browser's requests find it on a real server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tests.harness.pages import Page, wait_for
from tests.harness.repositories import add_model
from tests.harness.server import ServerProcess, serving
from tests.harness.transports import serving_on
from trivet.status.playground import MAX_BODY_BYTES
from trivet.transport.options import Transport
from trivet_client import Client
from trivet_client.errors import InvalidArgument, NotFound

FILES = Path(__file__).parents[2] / "server" / "trivet" / "status" / "page"
PORT = "--metrics-port=0"
EMBEDS = """
    backend: "fake"
    max_batch_size: 8
    input { name: "TEXT" data_type: TYPE_STRING dims: [ 1 ] }
    output { name: "EMBEDDING" data_type: TYPE_STRING dims: [ 1 ] }
"""


@dataclass(frozen=True)
class Shown:
    """A server and its page."""

    server: ServerProcess
    page: Page


@contextmanager
def shown(
    repository: Path, *flags: str, token: str = "", log: Path | None = None
) -> Iterator[Shown]:
    with serving(repository, PORT, *flags, log=log) as server:
        assert server.metrics
        yield Shown(server, Page(server.metrics.removesuffix("/metrics"), token))


@pytest.fixture(scope="module", params=Transport)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shown]:
    repository = tmp_path_factory.mktemp("shown")
    add_model(repository, "echo")
    add_model(repository, "leaves")
    add_model(repository, "embed", EMBEDS)
    loads = [f"--load-model={path.name}" for path in repository.iterdir()]
    flags = ("--model-control-mode=explicit", *loads)
    with serving_on(request.param), shown(repository, *flags) as site:
        yield site


@pytest.fixture
def page(site: Shown) -> Page:
    return site.page


def test_every_file_of_the_page_is_there_and_guards_itself(page: Page) -> None:
    for file in FILES.iterdir():
        path = "/" if file.name == "index.html" else f"/page/{file.name}"
        told = page.get(path)
        assert (told.status, told.body) == (200, file.read_bytes())
        policy = told.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert told.headers["x-content-type-options"] == "nosniff"
        assert told.headers["cache-control"] == "no-cache"
        assert page.get(path, "HEAD").body == b""


def test_the_page_needs_nothing_from_elsewhere_and_writes_no_markup() -> None:
    named = set()
    for file in FILES.iterdir():
        text = file.read_text()
        away = set(re.findall(r"https?://[^\"'\s)]+", text)) - {"http://www.w3.org/2000/svg"}
        assert not away, f"{file.name} asks elsewhere"
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text)
        assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\son[a-z]+=|\sstyle=", text), file.name
        named |= set(re.findall(r"\"/page/([a-z]+\.[a-z]+)\"", text))
    assert named | {"index.html"} == {file.name for file in FILES.iterdir()}


def test_a_file_that_did_not_change_is_not_sent_again(page: Page) -> None:
    etag = page.get("/page/main.js").headers["etag"]
    assert page.get("/page/feed.js").headers["etag"] != etag
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = page.get("/page/main.js", if_none_match=known)
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", etag)
    assert page.get("/page/main.js", if_none_match='"other"').status == 200


def test_states_load_and_errors_come_as_events(site: Shown) -> None:
    with site.page.events() as events, triton.InferenceServerClient(site.server.address) as client:
        state = wait_for(events, "state")
        assert state["server"] == {
            "version": state["server"]["version"],
            "ready": True,
            "started": True,
            "leaving": False,
            "playground": True,
        }
        models = {model["name"]: model for model in state["models"]}
        assert set(models) == {"echo", "embed", "leaves"}
        assert models["echo"]["tasks"] == []
        assert models["embed"]["tasks"] == ["Embed", "Similarity", "ZeroShot", "FewShot"]
        assert models["echo"]["kind"] == "fake"
        wait_for(events, "sample")

        client.unload_model("leaves")
        assert _state_of(events, "leaves") == ("UNAVAILABLE", "unloaded")
        client.load_model("leaves")
        assert _state_of(events, "leaves") == ("READY", "")

        with pytest.raises(InferenceServerException):
            client.infer("nobody", [])
        failures = wait_for(events, "failures")
        assert (failures[0]["task"], failures[0]["code"]) == ("Infer", "NOT_FOUND")
        assert "'nobody'" in failures[0]["message"]


def test_what_was_asked_shows_in_the_next_second(site: Shown) -> None:
    with site.page.events() as events, Client(site.server.address) as client:
        wait_for(events, "sample")
        with pytest.raises(InvalidArgument):
            client.embed("a text", model="echo")
        while not (told := wait_for(events, "sample"))["all"]["failures"]:
            pass
        assert told["all"]["ms"]["request"][1] > 0


def test_the_playground_asks_what_grpc_asks(site: Shown) -> None:
    with Client(site.server.address) as client:
        for request in (
            {"model": "echo", "texts": ["a"]},
            {"model": "nobody", "texts": ["a"]},
            {"texts": []},
            {"model": "embed", "version": -1, "texts": ["a"]},
            {"model": "m" * 2000, "texts": ["a"]},
        ):
            told = site.page.ask("Embed", request)
            with pytest.raises((InvalidArgument, NotFound)) as refused:
                client.embed(
                    request["texts"],
                    model=request.get("model", ""),
                    version=request.get("version", 0),
                )  # type: ignore[arg-type]
            code = "NOT_FOUND" if isinstance(refused.value, NotFound) else "INVALID_ARGUMENT"
            assert told.value == {"code": code, "message": refused.value.message}
            assert told.status == (404 if code == "NOT_FOUND" else 400)


def test_what_the_playground_asks_is_counted(page: Page) -> None:
    def counted() -> float:
        line = 'trivet_requests_total{code="NOT_FOUND",kind="call",task="Similarity"} '
        found = re.search(re.escape(line) + r"(\S+)", page.get("/metrics").body.decode())
        return float(found[1]) if found else 0

    before = counted()
    asked = {"model": "nobody", "texts": ["a"], "others": ["b"]}
    assert page.ask("Similarity", asked).status == 404
    assert counted() == before + 1


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "no trivet.v1.EmbedRequest in JSON"),
        (b"{", "no trivet.v1.EmbedRequest in JSON"),
        (b"\xff\xfe", "no trivet.v1.EmbedRequest in JSON"),
        (b'{"texts": ["a"], "other": 1}', "other"),
        (b'{"texts": "a"}', "texts"),
        (b"[" * 50_000, "no trivet.v1.EmbedRequest in JSON"),
        (b'{"texts": ["' + b"a" * MAX_BODY_BYTES + b'"]}', f"more than {MAX_BODY_BYTES} bytes"),
    ],
)
def test_what_is_no_request_is_refused_with_what_is_wrong(
    page: Page, body: bytes, told: str
) -> None:
    refused = page.ask("Embed", body)
    assert refused.status == 400
    assert refused.value["code"] == "INVALID_ARGUMENT"
    assert told in refused.value["message"]
    assert len(refused.value["message"]) < 1000


def test_pages_of_others_can_neither_ask_nor_look(page: Page) -> None:
    asked = {"texts": ["a"]}
    here = page.url
    assert page.ask("Embed", asked, origin="http://evil.example").status == 403
    assert page.ask("Embed", asked, origin="null").status == 403
    assert page.ask("Embed", asked, sec_fetch_site="cross-site").status == 403
    assert page.ask("Embed", asked, content_type="text/plain").status == 400
    assert page.ask("Embed", {"texts": []}, origin=here, sec_fetch_site="same-origin").status == 400
    assert page.get("/page/ask/Embed", "OPTIONS", origin="http://evil.example").status == 405
    for path in ("/", "/page/main.js", "/page/events"):
        rebound = page.get(path, host="evil.example")
        assert rebound.status == 403
        assert "--page-host" in rebound.value["message"]
    assert page.ask("Embed", asked, host="evil.example", origin="http://evil.example").status == 403


def test_only_post_asks_and_only_get_looks(page: Page) -> None:
    assert page.get("/page/ask/Embed").status == 405
    assert page.get("/page/events", "POST").status == 405
    assert page.get("/page/../access.py").status == 404
    assert page.get("/page/").status == 404


@pytest.fixture
def models(tmp_path: Path) -> Path:
    add_model(tmp_path / "models", "echo")
    return tmp_path / "models"


def test_it_is_switched_off_whole_or_without_its_playground(models: Path) -> None:
    with shown(models, "--allow-playground=false") as site:
        assert site.page.ask("Embed", {"texts": ["a"]}).status == 404
        with site.page.events() as events:
            assert not wait_for(events, "state")["server"]["playground"]
    with shown(models, "--allow-page=false") as site:
        for path in ("/", "/page/main.js", "/page/events"):
            assert site.page.get(path).status == 404
        assert site.page.get("/metrics").status == 200


def test_a_name_that_is_told_is_taken(models: Path) -> None:
    with shown(models, "--page-host=trivet.example", "--page-host", "Other.example") as site:
        assert site.page.get("/", host="trivet.example:443").status == 200
        assert site.page.get("/", host="other.example").status == 200
        assert site.page.get("/", host="third.example").status == 403
        assert site.page.get("/").status == 200


def test_tokens_say_who_sees_and_who_asks(models: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    infers, observes = "infer-token-0123456789", "observe-token-0123456789"
    tokens.write_text(f"infer {infers}\nobserve {observes}\n")
    tokens.chmod(0o600)
    asked = {"model": "echo", "texts": ["a"]}
    with shown(models, "--token-file", str(tokens)) as site:
        nobody, asks = site.page, Page(site.page.url, infers)
        sees = Page(site.page.url, observes)
        assert nobody.get("/").status == 200, (
            "it holds nothing of this server, and asks for a token"
        )
        assert nobody.get("/page/events").status == 401
        assert asks.get("/page/events").status == 403
        assert nobody.ask("Embed", asked).status == 401
        assert sees.ask("Embed", asked).status == 403
        assert b"lacks" in asks.ask("Embed", asked).body
        with sees.events() as events:
            wait_for(events, "sample")
            tokens.write_text(f"infer {infers}\n")
            assert len(list(events)) < 20, "the stream does not outlive its token"
        assert sees.get("/page/events").status == 401


@pytest.mark.parametrize("transport", Transport)
def test_watchers_are_told_of_a_stop_and_let_go_with_it(
    tmp_path: Path, transport: Transport
) -> None:
    add_model(tmp_path / "models", "echo")
    log = tmp_path / "stderr.log"
    with (
        serving_on(transport),
        shown(tmp_path / "models", log=log) as site,
        site.page.events() as events,
    ):
        wait_for(events, "state")
        site.server.process.terminate()
        while not wait_for(events, "state")["server"]["leaving"]:
            pass
        list(events)  # raises IncompleteRead if it is cut off
        assert site.server.process.wait(20) == 0
    assert "Traceback" not in log.read_text()


def _state_of(events: Iterator[tuple[str, Any]], name: str) -> tuple[str, str]:
    """The next state that a model settles in."""
    while True:
        for model in wait_for(events, "state")["models"]:
            if model["name"] == name and model["state"] in ("READY", "UNAVAILABLE"):
                return model["state"], model["reason"]
