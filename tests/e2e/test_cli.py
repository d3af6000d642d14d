"""`trivet` as a person uses it: help, tables, answers, and one clear line where it cannot go on."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest

from tests.harness.command import trivet
from tests.harness.repositories import add_model, fake_config, pipeline_config
from tests.harness.server import ServerProcess
from trivet.transport.options import Transport
from trivet_client import Client

ROOT = Path(__file__).parent.parent.parent
COMMANDS = (
    *("serve", "build", "export", "finetune", "quantize", "tune"),
    *("ls", "check", "infer", "ready", "bench", "stub", "demo"),
)
BACKENDS = (
    "onnxruntime",
    "openvino",
    "torch",
    "pytorch",
    "tensorrt",
    "python",
    "tokenizers",
    "text",
    "fake",
)
MODELS = ("embed", "fill_mask", "minilm", "minilm_mlm", "minilm_mlm_candidates")


@pytest.fixture(scope="module")
def transport() -> Transport:
    """One is enough here: what is looked at is what commands print."""
    return Transport.GRPCIO


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two good models and a bad one."""
    add_model(tmp_path, "echo", versions=(1, 2))
    add_model(tmp_path, "pipe", pipeline_config(["echo"]))
    add_model(tmp_path, "bad", fake_config(max_batch_size=-1))
    return tmp_path


def test_trivet_alone_lists_its_commands() -> None:
    ended = trivet("--help")
    assert (ended.status, ended.err) == (0, "")
    listed = [line.split()[0] for line in ended.out.splitlines() if re.match(r"  \w+  +\w", line)]
    assert listed[: len(COMMANDS)] == list(COMMANDS)
    assert trivet("--version").out.startswith("trivet ")
    wrong = trivet()
    assert wrong.status == 2
    assert "commands:" in wrong.err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_a_manual(command: str) -> None:
    ended = trivet(command, "--help")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith(f"usage: trivet {command} ")
    assert "examples:" in ended.out
    assert f"  trivet {command}" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 100


@pytest.mark.parametrize(
    ("arguments", "status", "fragments"),
    [
        (["nothing"], 2, ["there is no command 'nothing'", "`trivet --help` lists the commands"]),
        (["inferr"], 2, ["there is no command 'inferr'; did you mean 'infer'?"]),
        (["infer", "embed", "--text", "a", "--url", "127.0.0.1:1"], 1, ["no server answers at"]),
        (["build", "/nowhere", "--model-repository", "m"], 2, ["/nowhere: is no folder"]),
        (["check", __file__], 2, ["a model repository is a folder, this is a file"]),
        (["serve", "--model-repository", __file__], 2, ["a model repository is a folder"]),
    ],
)
def test_what_is_wrong_is_one_clear_line(
    tmp_path: Path, arguments: list[str], status: int, fragments: list[str]
) -> None:
    ended = trivet(*arguments, cwd=tmp_path)
    assert ended.status == status
    assert ended.out == ""
    (line,) = ended.errors
    for fragment in fragments:
        assert fragment in line
    assert "Traceback" not in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["serve", "--model-repository", "m", "--grpc-port", "99999"], "'99999' is no port"),
        (["serve", "--model-repository", "m", "--grpc-max-message-bytes", "0"], "positive whole"),
        (["serve", "--model-repository", "m", "--exit-on-error", "maybe"], "neither true nor"),
        (["serve", "--model-repo", "m"], "unrecognized arguments: --model-repo m"),
        (["infer", "embed"], "--text"),
        (["ls"], "REPOSITORY"),
    ],
)
def test_wrong_use_is_told_with_the_usage(arguments: list[str], fragment: str) -> None:
    ended = trivet(*arguments)
    assert ended.status == 2
    assert ended.err.startswith(f"usage: trivet {arguments[0]} ")
    assert fragment in ended.err.splitlines()[-1]


def test_ls_shows_what_is_there_and_whether_it_would_load(repository: Path) -> None:
    ended = trivet("ls", repository)
    assert (ended.status, ended.err) == (0, "")
    rows = {line.split()[0]: line.split()[1:] for line in ended.out.splitlines()[1:]}
    assert list(rows) == ["bad", "echo", "pipe"]
    assert rows["echo"] == ["fake", "2", "yes", "IN", "FP32[-1]", "->", "OUT", "FP32[-1]"]
    assert rows["pipe"][:3] == ["pipeline", "1", "yes"]
    assert rows["bad"][2] == "no"
    assert "bad/config.pbtxt: max_batch_size: is -1" in ended.out


def test_ls_and_check_speak_json(repository: Path) -> None:
    listed = json.loads(trivet("ls", "--json", repository).out)
    assert {model["name"]: model["loads"] for model in listed["models"]} == {
        "bad": False,
        "echo": True,
        "pipe": True,
    }
    checked = trivet("check", "--json", repository)
    assert checked.status == 1
    faulty = next(model for model in json.loads(checked.out)["models"] if model["name"] == "bad")
    assert faulty["faults"][0].keys() == {"where", "what", "cure"}


def test_check_counts_and_names_every_fault(repository: Path) -> None:
    ended = trivet("check", repository)
    assert (ended.status, ended.err) == (1, "")
    *faults, summary = ended.out.splitlines()
    assert faults == [
        "bad/config.pbtxt: max_batch_size: is -1, must be 0 or more;"
        " 0 means the model does not batch"
    ]
    assert summary == "3 models: 2 would load (2 versions), 1 would not; 1 fault"


def test_the_examples_pass_the_check_with_their_artifacts_opened(examples: Path) -> None:
    ended = trivet("check", "--load", examples)
    assert (ended.status, ended.err) == (0, "")
    assert "0 would not; 0 faults" in ended.out
    listed = trivet("ls", examples)
    assert set(MODELS) <= {line.split()[0] for line in listed.out.splitlines()}


def test_a_reader_who_has_seen_enough_is_no_error(repository: Path) -> None:
    shell = f"{sys.executable} -m trivet ls {repository} | head -1; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode in (0, 141)  # all was written before the reader left, or SIGPIPE
    assert ended.stdout.startswith("NAME")
    assert ended.stderr == ""


def test_infer_fills_a_mask_on_the_shell(demo_server: ServerProcess) -> None:
    text = "the capital of the united [MASK] is washington."
    ended = trivet("infer", "fill_mask", "--url", demo_server.address, "--text", text)
    assert (ended.status, ended.err) == (0, "")
    with Client(demo_server.address) as client:
        (mask,) = client.fill_mask(text).masks
    for candidate in mask.candidates:
        assert re.search(rf"\b{re.escape(candidate.token)}\b", ended.out)


def test_infer_embeds_lines_of_standard_input(demo_server: ServerProcess) -> None:
    lines = ["first line", "a second and longer line", "third"]
    ended = trivet(
        *("infer", "embed", "--url", demo_server.address, "--text", "-", "--output-json"),
        stdin="\n".join(lines) + "\n",
    )
    assert (ended.status, ended.err) == (0, "")
    answers = [json.loads(line) for line in ended.out.splitlines()]
    assert len(answers) == 3
    with Client(demo_server.address) as client:
        expected = client.embed(lines).vectors
    for answer, vector in zip(answers, expected, strict=True):
        np.testing.assert_allclose(_vector(answer), vector, atol=1e-5)


def _vector(answer: object) -> list[float]:
    """The list of 384 numbers somewhere in a JSON answer."""
    found = re.search(r"\[(-?\d[^\[\]]*)\]", json.dumps(answer))
    assert found, answer
    numbers = [float(number) for number in found[1].split(",")]
    assert len(numbers) == 384
    return numbers


def test_infer_takes_tensors(demo_server: ServerProcess) -> None:
    ended = trivet(
        *("infer", "minilm", "--url", demo_server.address, "--output-json"),
        *("--input", "input_ids=[[101, 7592, 102]]"),
        *("--input", "attention_mask=[[1, 1, 1]]"),
        *("--input", "token_type_ids=[[0, 0, 0]]"),
    )
    assert (ended.status, ended.err) == (0, "")
    assert len(_vector(json.loads(ended.out))) == 384


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["infer", "nobody", "--text", "a"], "Request for unknown model: 'nobody'"),
        (["infer", "fill_mask", "--text", "no mask"], "no mask token; write [MASK]"),
        (["infer", "minilm", "--text", "a"], "model 'minilm' has no text input TEXT"),
        (["infer", "minilm", "--input", "input_ids=[[1"], "--input input_ids is not JSON"),
        (["infer", "minilm", "--input", "ids=[[1]]"], "model 'minilm' has no input 'ids'"),
        (["infer", "embed", "--text", "a", "--version", "9"], "'embed' version 9 is not found"),
        (["infer", "embed", "--json", "nothing.json"], "--json nothing.json cannot be read"),
    ],
)
def test_infer_tells_what_was_refused_in_one_line(
    demo_server: ServerProcess, arguments: list[str], fragment: str
) -> None:
    ended = trivet(*arguments, "--url", demo_server.address)
    assert (ended.status, ended.out) == (1, "")
    (line,) = ended.errors
    assert fragment in line
    assert ended.err.count("\n") == 1


def test_infer_answers_the_good_texts_among_bad_ones(demo_server: ServerProcess) -> None:
    ended = trivet(
        *("infer", "fill_mask", "--url", demo_server.address, "--output-json"),
        *("--text", "a good [MASK].", "--text", "no mask", "--text", "one [MASK] more."),
    )
    assert ended.status == 1
    assert len(ended.out.splitlines()) == 2
    (line,) = ended.errors
    assert "no mask token" in line


# What an installation brings.


def test_every_entry_point_can_be_loaded() -> None:
    groups = {
        "trivet.backends": set(BACKENDS),
        "trivet.commands": set(COMMANDS),
    }
    for group, names in groups.items():
        found = {entry.name: entry for entry in entry_points(group=group)}
        assert names <= found.keys()
        for name in names:
            found[name].load()
    (script,) = entry_points(group="console_scripts", name="trivet")
    assert callable(script.load())
    installed = Path(sys.executable).with_name("trivet")
    ended = subprocess.run([installed, "--version"], capture_output=True, timeout=60, check=False)
    assert ended.returncode == 0


def test_the_wheel_has_all_that_its_entry_points_name(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    built = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False
    )
    assert built.returncode == 0, built.stderr
    (path,) = tmp_path.glob("trivet-*.whl")
    with zipfile.ZipFile(path) as wheel:
        files = set(wheel.namelist())
        (listed,) = (name for name in files if name.endswith("entry_points.txt"))
        named = re.findall(r"^(\w+) = ([\w.]+)", wheel.read(listed).decode(), re.MULTILINE)
    assert len(named) == 1 + len(BACKENDS) + len(COMMANDS)
    for _, module in named:
        place = module.replace(".", "/")
        assert {f"{place}.py", f"{place}/__init__.py"} & files, module
    assert {"trivet_protos/trivet/v1/text.proto", "trivet_protos/grpc_service.proto"} <= files
    assert {"trivet/py.typed", "trivet_client/py.typed"} <= files
    assert not [name for name in files if name.startswith(("tests/", "model_repository/"))]
