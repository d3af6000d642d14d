"""The page to look at, in a real browser, over real models.

On one transport: the page is served over HTTP, beside it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tritonclient.grpc as triton

from tests.harness.browser import Tab, browser, needs_browser, tab
from tests.harness.head_checkpoints import write_head_checkpoint
from tests.harness.repositories import add_model, fake_config
from tests.harness.server import ServerProcess, serving
from trivet_backends.workshop.build import build
from trivet_backends.workshop.options import BuildOptions, Task
from trivet_client import Client
from trivet_client.errors import NotFound

pytestmark = needs_browser

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
HOSTILE = "<img src=x onerror=document.title='hacked'>"
EVERY_TASK = (
    *("FillMask", "Embed", "Similarity", "ZeroShot", "FewShot", "Classify", "TagTokens"),
    *("Answer", "NextSentence", "Tokenize", "Detokenize"),
)
FOCUSABLE = "a[href], button, input, select, textarea, [tabindex='0']"


@dataclass(frozen=True)
class Site:
    """A server of every task, and a browser."""

    server: ServerProcess
    url: str
    chromium: Any


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def site(examples: Path, chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    more = tmp_path_factory.mktemp("page")
    repository = more / "models"
    heads = (Task.CLASSIFY, Task.TAG_TOKENS, Task.ANSWER, Task.NEXT_SENTENCE)
    for task in heads:
        checkpoint = write_head_checkpoint(more / task.value, task)
        options = BuildOptions(name=f"tiny_{task.value}", pipeline=task.value)
        build(checkpoint, repository, options, lambda _: None)
    add_model(repository, "echo")
    add_model(repository, "broken", fake_config().replace("fake", HOSTILE.replace("'", "")))
    flags = ("--model-repository", str(repository), "--model-control-mode=explicit")
    wanted = ("--load-model=*", "--exit-on-error=false", "--metrics-port=0")
    with serving(examples, *flags, *wanted, log=more / "stderr.log") as server:
        assert server.metrics
        yield Site(server, server.metrics.removesuffix("metrics"), chromium)
        assert server.process.poll() is None, "the server died while it was looked at"


@pytest.fixture
def opened(site: Site) -> Iterator[Tab]:
    """The page as it is found; nothing may have been complained of at the end."""
    with tab(site.chromium, site.url) as opened:
        opened.wait_for_text("#connection", "Live")
        yield opened
        assert not opened.complaints


def row(name: str) -> str:
    """The row of a model. playwright's own way of selecting."""
    return f"#models-rows tr:has(button:text-is('{name}'))"


def test_models_and_their_states_are_there(opened: Tab) -> None:
    assert opened.page.title() == "trivet"
    assert opened.text("#version").startswith("trivet 0")
    assert opened.text(f"{row('embed')} .state") == "Ready"
    assert "Embed, Similarity, ZeroShot, FewShot" in opened.text(f"{row('embed')} th")
    assert opened.text(f"{row('broken')} .state") == "Unavailable"
    assert "ready" in opened.text("#models-count")
    opened.page.fill("#models-filter", "unavail")
    assert opened.page.locator("#models-rows tr").count() == 1
    opened.page.fill("#models-filter", "nothing like it")
    assert "No model has this" in opened.text("#models-empty")


def test_a_load_and_an_unload_show_without_reloading(site: Site, opened: Tab) -> None:
    state = f"{row('echo')} .state"
    with triton.InferenceServerClient(site.server.address) as client:
        client.unload_model("echo")
        opened.page.wait_for_selector(f"{state}:text-is('Not loaded')")
        client.load_model("echo")
        opened.page.wait_for_selector(f"{state}:text-is('Ready')")


@pytest.mark.parametrize("task", EVERY_TASK)
def test_every_task_runs_in_the_playground(opened: Tab, task: str) -> None:
    assert opened.ask(task).startswith("Answered by "), opened.text("#answer-told")
    assert opened.text("#answer")
    assert "tokens" in opened.text("#answer .cost")


def test_answers_are_those_of_the_client(site: Site, opened: Tab) -> None:
    text = "The [MASK] sat on the [MASK]."
    opened.ask("FillMask", text=text, top_k="2")
    shown = opened.page.locator("#answer .bars .name").all_text_contents()
    with Client(site.server.address) as client:
        masks = client.fill_mask(text, top_k=2).masks
    assert shown == [candidate.token for mask in masks for candidate in mask.candidates]
    opened.ask("Similarity", text="a cat", others="a cat\na stock exchange")
    first, second = opened.page.locator("#answer .bars .number").all_text_contents()
    assert first == "1.000"
    assert float(second) < 0.9
    opened.ask("Tokenize", text="Unbelievably 💡 <b>bold</b>")
    assert opened.page.locator("#answer .token span").all_text_contents()[0] == "[CLS]"


def test_a_refusal_is_shown_with_its_cause(opened: Tab) -> None:
    assert "[MASK]" in opened.ask("FillMask", text="there is none")
    assert opened.page.get_attribute("#answer-told", "data-kind") == "bad"
    assert "label: text" in opened.ask("FewShot", examples="no label here")
    opened.complaints.clear()  # the browser notes each refusal itself


def test_requests_show_as_numbers_and_curves(site: Site, opened: Tab) -> None:
    with Client(site.server.address) as client:
        for _ in range(5):
            client.embed(["some text of some words"] * 8)
    opened.page.wait_for_function(
        "() => document.querySelector('.tile .line').getAttribute('d').includes('L')"
    )
    label = "svg[aria-label^='Requests per second']"
    assert "highest" in str(opened.page.get_attribute(label, "aria-label"))
    opened.page.wait_for_function(
        "() => document.querySelector('#stages td.number').textContent.includes('ms')"
    )
    opened.page.click(f"{row('minilm')} button")
    chosen = opened.page.eval_on_selector("#load-of", "(s) => s.selectedOptions[0].textContent")
    assert chosen.startswith("minilm, version")


def test_texts_of_others_stay_texts(site: Site, opened: Tab) -> None:
    with Client(site.server.address) as client, pytest.raises(NotFound):
        client.embed("a", model=HOSTILE)
    opened.wait_for_text("#failures-list", HOSTILE)
    assert "<img src=x" in opened.text(f"{row('broken')} .reason")
    opened.ask("Tokenize", text=HOSTILE)
    shown = opened.page.locator("#answer .token span").all_text_contents()
    assert "".join(token.removeprefix("##") for token in shown) == (
        f"[CLS]{HOSTILE.replace(' ', '')}[SEP]"
    )
    opened.ask("ZeroShot", text="a", labels=f"{HOSTILE}\n<script>document.title='hacked'</script>")
    assert opened.text("#answer").count("hacked") == 2
    assert opened.page.locator("main img, main script").count() == 0
    assert opened.page.title() == "trivet"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_by_day_and_by_night(site: Site, scheme: str) -> None:
    with tab(site.chromium, site.url, color_scheme=scheme) as opened:
        opened.wait_for_text("#connection", "Live")
        opened.ask("TagTokens")
        opened.ask("FillMask")
        paper = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(paper[4:].split(",")[0]) > 128) is (scheme == "light")
        assert opened.faint == []
        opened.picture(scheme)


@pytest.mark.parametrize("width", [390, 320])
def test_it_fits_a_phone(site: Site, width: int) -> None:
    options = {**PHONE, "viewport": {"width": width, "height": 844}}
    with tab(site.chromium, site.url, **options) as opened:
        opened.wait_for_text("#connection", "Live")
        for task in ("Tokenize", "Embed", "Answer", "FillMask"):
            opened.ask(task)
            assert opened.too_wide == 0
        opened.ask("Tokenize", text="x" * 300)
        assert opened.too_wide == 0
        opened.picture(f"phone-{width}")


def test_all_of_it_is_reached_and_run_by_keyboard(opened: Tab) -> None:
    press = opened.page.keyboard.press
    press("Tab")
    assert opened.page.evaluate("document.activeElement.className") == "skip"
    press("Enter")
    assert opened.page.evaluate("document.activeElement.id") == "main"
    seen = []
    for _ in range(200):
        press("Tab")
        seen.append(opened.page.evaluate("document.activeElement.id"))
        outlined = "getComputedStyle({}).outlineStyle"
        focused = "document.activeElement"
        if seen[-1].startswith("task-"):
            focused = "document.activeElement.nextSibling"
        assert opened.page.evaluate(outlined.format(focused)) != "none", seen[-1]
        if seen[-1] == "task-FillMask":
            break
    assert "models-filter" in seen
    for _ in range(len(EVERY_TASK)):
        press("ArrowRight")
        if opened.page.evaluate("document.activeElement.id") == "task-Tokenize":
            break
    press("Tab")  # the model
    press("Tab")
    assert opened.page.evaluate("document.activeElement.id") == "ask-text"
    press("Control+a")
    opened.page.keyboard.type("by hand")
    press("Control+Enter")
    opened.wait_for_text("#answer-told", "Answered by tokenize")
    assert "hand" in opened.text("#answer")


def test_everything_that_is_used_has_a_name_and_a_place(opened: Tab) -> None:
    nameless = opened.page.evaluate(
        """(selector) => [...document.querySelectorAll(selector)]
            .filter((node) => node.checkVisibility())
            .filter((node) => !(node.labels?.length || node.textContent.trim()
                || node.getAttribute("aria-label") || node.getAttribute("aria-labelledby")))
            .map((node) => node.outerHTML)""",
        FOCUSABLE,
    )
    assert nameless == []
    for landmark in ("banner", "navigation", "main", "contentinfo"):
        assert opened.page.get_by_role(landmark).count() == 1
    for region in ("Load", "Models", "Playground", "Recent errors"):
        assert opened.page.get_by_role("region", name=region, exact=True).count() == 1
    assert opened.page.get_by_role("heading", level=1).count() == 1


def test_a_token_is_asked_for_kept_in_the_tab_and_forgotten(chromium: Any, tmp_path: Path) -> None:
    add_model(tmp_path / "models", "echo")
    tokens = tmp_path / "tokens"
    infers, observes = "infer-token-0123456789", "observe-token-0123456789"
    tokens.write_text(f"infer {infers}\nobserve {observes}\n")
    tokens.chmod(0o600)
    flags = ("--metrics-port=0", "--token-file", str(tokens))
    with serving(tmp_path / "models", *flags) as server:
        url = str(server.metrics).removesuffix("metrics")
        with tab(chromium, url) as opened:
            opened.wait_for_text("#connection", "Needs a token")
            assert "needs a token" in opened.text("#gate-why")
            assert opened.page.evaluate("document.activeElement.id") == "gate-token"
            _enter(opened, "someone-elses-token-01234")
            opened.wait_for_text("#connection", "Needs a token")
            _enter(opened, infers)  # may ask, and not see
            opened.wait_for_text("#gate-why", "observe")
            assert "unknown model" in opened.ask("Embed")
            _enter(opened, observes)
            opened.wait_for_text("#connection", "Live")
            assert not opened.page.is_visible("#gate")
            opened.page.reload()
            opened.wait_for_text("#connection", "Live")
            kept = opened.page.evaluate("[localStorage.length, document.cookie, location.href]")
            assert kept == [0, "", url]
            opened.page.click("#token-button")
            opened.page.click("#gate-forget")
            opened.wait_for_text("#connection", "Needs a token")
            assert opened.page.evaluate("sessionStorage.length") == 0


def test_a_server_that_goes_and_comes_back_is_found_again(chromium: Any, tmp_path: Path) -> None:
    add_model(tmp_path, "echo")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        flag = f"--metrics-port={free.getsockname()[1]}"
    with serving(tmp_path, flag) as server:
        url = str(server.metrics).removesuffix("metrics")
        context = tab(chromium, url)
        opened = context.__enter__()
        opened.wait_for_text("#connection", "Live")
        assert "No ready model does a task" in opened.text("#playground-empty")
    try:
        opened.wait_for_text("#connection", "trying again")
        with serving(tmp_path, flag):
            opened.wait_for_text("#connection", "Live")
    finally:
        context.__exit__(None, None, None)


def _enter(opened: Tab, token: str) -> None:
    if not opened.page.is_visible("#gate"):
        opened.page.click("#token-button")
    opened.page.fill("#gate-token", token)
    opened.page.press("#gate-token", "Enter")
