"""Flags, variables, file and defaults: who wins, what is refused, and what is shown."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.cli import serve
from trivet.cli.flags import page
from trivet.cli.flags.flag import Flag
from trivet.cli.flags.groups import FLAGS
from trivet.cli.settings.settled import DEFAULT, Settled, default_texts, settled
from trivet.cli.settings.shown import as_toml, rows
from trivet.cli.settings.sources import SEPARATOR, Said
from trivet.errors import InvalidConfig

REPOSITORY = {"TRIVET_MODEL_REPOSITORY": "models"}


def settle(
    *line: str, variables: Mapping[str, str] = REPOSITORY, file: Path | None = None
) -> Settled:
    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    serve.add_arguments(parser)
    named = {"TRIVET_SETTINGS_FILE": str(file)} if file else {}
    return settled(parser.parse_args(line), {**named, **variables}, FLAGS)


def written(folder: Path, text: str) -> Path:
    file = folder / "trivet.toml"
    file.write_text(text)
    return file


def sources(settings: Settled) -> dict[str, str]:
    return {said.flag.name: said.source for said in settings.said}


def faults(*line: str, variables: Mapping[str, str] = REPOSITORY, file: Path | None = None) -> str:
    with pytest.raises(InvalidConfig) as refused:
        settle(*line, variables=variables, file=file)
    return refused.value.message


def test_a_flag_wins_over_its_variable_over_the_file_over_the_default(tmp_path: Path) -> None:
    file = written(tmp_path, "grpc-port = 1\nmetrics-port = 2\nserver-name = 'file'\n")
    variables = {**REPOSITORY, "TRIVET_GRPC_PORT": "3", "TRIVET_METRICS_PORT": "4"}
    settings = settle("--grpc-port=5", variables=variables, file=file)
    args, by = settings.args, sources(settings)
    assert (args.grpc_port, args.metrics_port, args.server_name) == (5, 4, "file")
    assert args.exit_timeout_secs == 30
    assert [by[name] for name in ("grpc-port", "metrics-port", "server-name")] == [
        "--grpc-port",
        "TRIVET_METRICS_PORT",
        str(file),
    ]
    assert by["exit-timeout-secs"] == DEFAULT


def test_of_several_values_all_of_one_place_count(tmp_path: Path) -> None:
    file = written(tmp_path, 'model-repository = ["a", "b"]\nload-model = "one"\n')
    variables = {"TRIVET_LOAD_MODEL": "x;y"}
    settings = settle("--load-model=z", variables=variables, file=file)
    assert settings.args.model_repository == [Path("a"), Path("b")]
    assert settings.args.load_model == ["z"]
    assert settle(variables=variables, file=file).args.load_model == ["x", "y"]
    assert settle(variables={}, file=file).args.load_model == ["one"]


def test_the_settings_file_is_named_by_flag_before_variable(tmp_path: Path) -> None:
    file = written(tmp_path, "grpc-port = 7\n")
    settings = settle(f"--settings-file={file}", file=tmp_path / "is not there")
    assert settings.args.grpc_port == 7


def test_an_empty_variable_says_nothing() -> None:
    settings = settle(variables={**REPOSITORY, "TRIVET_GRPC_PORT": ""})
    assert (settings.args.grpc_port, settings.unknown) == (8001, ())


def test_an_empty_list_says_nothing(tmp_path: Path) -> None:
    assert "--model-repository: is not given" in faults(
        variables={}, file=written(tmp_path, "model-repository = []\nload-model = []\n")
    )


@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", None), ("1", True)])
def test_a_flag_without_a_value_is_true_or_not_there(text: str, value: object) -> None:
    variables = {**REPOSITORY, "TRIVET_DISABLE_AUTO_COMPLETE_CONFIG": text}
    assert settle(variables=variables).args.disable_auto_complete_config is value


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_every_default_is_a_text_that_the_flag_takes(flag: Flag) -> None:
    assert [flag.read(text) for text in default_texts(flag)] == (
        [] if flag.default is None else [flag.default]
    )


def test_what_is_wrong_is_told_at_once_each_with_its_place(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        'grpc_port = 1\nmodel-store = "m"\ngrpc-use-ssl = "maybe"\nlog-file = ["x"]\n'
        "metrics-port = true\nsettings-file = 'x'\n[grpc]\nport = 1\n",
    )
    told = faults(
        variables={"TRIVET_LOG_VERBOSE": "much", "TRIVET_EXIT_TIMEOUT_SECS": "-1"}, file=file
    ).splitlines()
    assert told == [
        f"{file}: grpc_port: is no setting; did you mean 'grpc-port'?",
        f"{file}: model-store: is no setting; did you mean 'model-repository'?",
        f"{file}: log-file: is no text, number, true or false; give one FILE",
        f"{file}: settings-file: cannot be said in a file; give it as --settings-file",
        f"{file}: grpc: is no setting; did you mean 'grpc-port'?",
        f"{file}: grpc-use-ssl: 'maybe' is neither true nor false; give true|false",
        f"{file}: metrics-port: 'true' is no port; give 0 to 65535",
        "environment: TRIVET_EXIT_TIMEOUT_SECS: '-1' is no whole number; give 0 or more",
        "environment: TRIVET_LOG_VERBOSE: 'much' is no LEVEL; give LEVEL",
        "--model-repository: is not given; give --model-repository=DIR,"
        " TRIVET_MODEL_REPOSITORY or a settings file with it",
    ]


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"grpc-port 1", "is not TOML"), (b"\xff", "is not UTF-8 (byte 0)"), (None, "No such file")],
)
def test_a_file_that_cannot_be_read_is_told(
    tmp_path: Path, content: bytes | None, what: str
) -> None:
    file = tmp_path / "trivet.toml"
    if content is not None:
        file.write_bytes(content)
    told = faults(file=file)
    assert told.startswith(f"--settings-file: {file}: ")
    assert what in told


def test_variables_that_are_no_flags_are_told_of_and_those_of_services_are_not() -> None:
    variables = {
        **REPOSITORY,
        "TRIVET_MODEL_STORE": "m",
        "TRIVET_GRPC_PROT": "1",
        "TRIVET_PRINT_CONFIG": "toml",
        "TRIVET_SERVICE_HOST": "10.0.0.1",
        "TRIVET_PORT_8001_TCP_ADDR": "10.0.0.1",
        "TRIVET_PORT": "tcp://10.0.0.1:8001",
        "TRIVET_CANARY_SERVICE_PORT_GRPC": "8001",
        "TRIVET_XYZZY": "1",
        "PATH": "/bin",
    }
    assert settle(variables=variables).unknown == (
        ("TRIVET_GRPC_PROT", "did you mean TRIVET_GRPC_PORT?"),
        ("TRIVET_MODEL_STORE", "did you mean TRIVET_MODEL_REPOSITORY?"),
        ("TRIVET_PRINT_CONFIG", "give it as --print-config"),
        ("TRIVET_XYZZY", "no flag has this name"),
    )


def test_a_service_of_kubernetes_is_not_taken_for_a_port() -> None:
    told = faults(variables={**REPOSITORY, "TRIVET_GRPC_PORT": "tcp://10.0.0.1:8001"})
    assert "Kubernetes says of a Service 'trivet-grpc'" in told
    assert "enableServiceLinks: false" in told


def test_secrets_are_neither_shown_nor_told(tmp_path: Path) -> None:
    file = written(tmp_path, 'grpc-restricted-protocol = "health:key=hush"\n')
    settings = settle(file=file)
    shown = {name: value for name, value, _ in rows(settings.said)}
    assert shown["grpc-restricted-protocol"] == "health:key=***"
    assert "hush" not in as_toml(settings.said)
    variables = {**REPOSITORY, "TRIVET_GRPC_RESTRICTED_PROTOCOL": "helth:key=hush"}
    assert "hush" not in faults(variables=variables)
    urls = settle(
        "--otlp-endpoint=http://me:hush@h:4318", "--trace-config=opentelemetry,url=http://hush@h/"
    )
    assert "hush" not in as_toml(urls.said) + str(list(rows(urls.said)))
    plain = settle("--otlp-endpoint=http://h:4318", "--trace-config=rate=7")
    assert 'otlp-endpoint = "http://h:4318"' in as_toml(plain.said)
    assert 'trace-config = ["rate=7"]' in as_toml(plain.said)


def test_what_is_printed_as_a_file_says_the_same_again(tmp_path: Path) -> None:
    first = settle(
        "--load-model=a",
        "--load-model=b;c",
        "--grpc-infer-response-compression-level=low",
        '--log-file=a "b"\\\n\x7f\N{SNOWMAN}',
        "--disable-auto-complete-config",
        "--server-name=007",
        "--model-load-retry-count=3",
    )
    file = written(tmp_path, as_toml(first.said))
    second = settle(variables={}, file=file)
    ours = ("texts_given", "settings_file")
    assert {name: value for name, value in vars(second.args).items() if name not in ours} == {
        name: value for name, value in vars(first.args).items() if name not in ours
    }


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_is_written_as_toml_reads_it(text: str) -> None:
    flag = next(flag for flag in FLAGS if flag.name == "server-name")
    value = tomllib.loads(as_toml([Said(flag, (text,), DEFAULT)]))["server-name"]
    assert str(value) == text


def test_flags_without_effect_are_shown_if_somebody_said_them() -> None:
    names = [name for name, _, _ in rows(settle("--http-port=1").said)]
    assert ("http-port" in names, "http-address" in names) == (True, False)


def test_every_flag_has_a_variable_of_its_own_which_the_page_names() -> None:
    assert len({flag.variable for flag in FLAGS}) == len(FLAGS)
    assert all(f"`{flag.variable}`" in page.page() for flag in FLAGS if flag.by_variable)
    assert f'"a{SEPARATOR}b"' in page.page()
