"""Every flag both ways, Triton's start lines as they are, and the page of flags beside the code."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from trivet.cli import serve
from trivet.cli.flags import page, unserved
from trivet.cli.flags.access import restricted, restrictions
from trivet.cli.flags.cache import cache_bytes
from trivet.cli.flags.flag import Flag
from trivet.cli.flags.groups import GROUPS
from trivet.cli.flags.options import grpc_options
from trivet.errors import InvalidConfig
from trivet.frontend.access_rules import Group
from trivet.transport.options import Compression, Keepalive, Tls

ROOT = Path(__file__).parents[4]
FLAGS = [flag for group in GROUPS for flag in group.flags]

# Of tritonserver's own table (src/command_line_parser.cc, release 25.x), all groups.
TRITON = """
allow-cpu-metrics allow-gpu-metrics allow-grpc allow-http allow-metrics allow-sagemaker
allow-vertex-ai backend-config backend-directory buffer-manager-thread-count cache-config
cache-directory cuda-memory-pool-byte-size cuda-virtual-address-size disable-auto-complete-config
enable-peer-access exit-on-error exit-timeout-secs grpc-address grpc-header-forward-pattern
grpc-http2-max-ping-strikes grpc-http2-max-pings-without-data
grpc-http2-min-recv-ping-interval-without-data grpc-infer-allocation-pool-size
grpc-infer-response-compression-level grpc-infer-thread-count grpc-keepalive-permit-without-calls
grpc-keepalive-time grpc-keepalive-timeout grpc-max-connection-age grpc-max-connection-age-grace
grpc-max-response-pool-size grpc-port grpc-restricted-protocol grpc-root-cert grpc-server-cert
grpc-server-key grpc-use-ssl grpc-use-ssl-mutual host-policy http-address
http-header-forward-pattern http-port http-restricted-api http-thread-count id load-model log-error
log-file log-format log-info log-verbose log-warning metrics-address metrics-config
metrics-interval-ms metrics-port min-supported-compute-capability model-control-mode
model-load-gpu-limit model-load-retry-count model-load-thread-count model-namespacing
model-repository model-store pinned-memory-pool-byte-size rate-limit rate-limit-resource
repoagent-directory repository-poll-secs response-cache-byte-size reuse-grpc-port reuse-http-port
sagemaker-port sagemaker-safe-port-range sagemaker-thread-count strict-model-config strict-readiness
trace-config trace-count trace-file trace-level trace-log-frequency trace-rate
vertex-ai-default-model vertex-ai-port vertex-ai-thread-count
""".split()

# A value that each takes, where none of the usual ones is.
VALUES = {
    "cache-config": "local,size=1048576",
    "grpc-infer-response-compression-level": "medium",
    "grpc-restricted-protocol": "health,statistics:key=value",
    "grpc-web-allow-origin": "https://www.example.org",
    "rate-limit": "off",
    "transport": "h2corn",
    "rate-limit-resource": "R1:10:0",
    "model-control-mode": "none",
    "print-config": "toml",
    "log-format": "default",
    "trace-config": "rate=7",
    "otlp-protocol": "grpc",
}
USUAL = ("true", "7")  # for those that take only some; 7 is a number, a port and a name


def parsed(*line: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    serve.add_arguments(parser)
    has_repository = any(re.match("--model-(repository|store)", word) for word in line)
    return parser.parse_args(line if has_repository else ("--model-repository=m", *line))


def value_of(flag: Flag) -> str:
    if flag.name in VALUES:
        return VALUES[flag.name]
    for value in USUAL:
        try:
            flag.parse(value)
        except (argparse.ArgumentTypeError, ValueError):
            continue
        return value
    raise AssertionError(f"give a value for --{flag.name} in VALUES")


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_every_flag_is_taken_both_ways(flag: Flag) -> None:
    for name in (flag.name, *flag.aliases):
        if not flag.metavar:
            assert getattr(parsed("--model-repository=m", f"--{name}"), flag.dest) is True
            continue
        value = value_of(flag)
        joined = getattr(parsed("--model-repository=m", f"--{name}={value}"), flag.dest)
        apart = getattr(parsed("--model-repository=m", f"--{name}", value), flag.dest)
        assert joined == apart
        wanted = flag.parse(value)
        assert joined == wanted or wanted in joined


@pytest.mark.parametrize("flag", [flag for flag in FLAGS if flag.metavar == "true|false"])
def test_switches_take_true_false_1_and_0(flag: Flag) -> None:
    told = [
        getattr(parsed("--model-repository=m", f"--{flag.name}={text}"), flag.dest)
        for text in ("true", "1", "True", "false", "0", "FALSE")
    ]
    assert told == [True, True, True, False, False, False]


def test_every_flag_of_triton_is_known() -> None:
    known = {name for flag in FLAGS for name in (flag.name, *flag.aliases)}
    assert sorted(set(TRITON) - known) == []


def test_no_flag_is_declared_twice() -> None:
    names = [name for flag in FLAGS for name in (flag.name, *flag.aliases)]
    assert sorted(names) == sorted(set(names))


def test_the_page_of_flags_says_what_the_code_says() -> None:
    written = (ROOT / "server" / "FLAGS.md").read_text()
    assert written == page.page(), "python -m trivet.cli.flags.page > server/FLAGS.md"


def test_help_and_page_have_every_flag() -> None:
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    shown = set(re.findall(r"^ +(--[a-z0-9-]+)", parser.format_help(), re.MULTILINE))
    written = set(re.findall(r"^\| `(--[a-z0-9-]+)", page.page(), re.MULTILINE))
    assert {f"--{flag.name}" for flag in FLAGS} == shown == written


def test_a_start_line_of_tritons_is_taken_and_what_it_does_not_do_is_told() -> None:
    args = parsed(
        *"--model-store=/models --id=prod --allow-http=true --http-port 8000 --metrics-port=8002"
        " --backend-directory /opt/tritonserver/backends --pinned-memory-pool-byte-size=268435456"
        " --cuda-memory-pool-byte-size=0:67108864 --min-supported-compute-capability 6.0"
        " --backend-config=onnxruntime,enable-global-threadpool=1 --strict-readiness=true"
        " --disable-auto-complete-config --grpc-port=8001 --response-cache-byte-size=1024"
        " --allow-gpu-metrics=false --model-namespacing=0".split()
    )
    assert [flag for flag, _ in unserved.notices(args)] == [
        "--allow-http",
        "--http-port",
        "--disable-auto-complete-config",
        "--backend-directory",
        "--backend-config",
        "--pinned-memory-pool-byte-size",
        "--cuda-memory-pool-byte-size",
        "--min-supported-compute-capability",
    ]
    assert (args.model_repository, args.server_name) == ([Path("/models")], "prod")
    assert cache_bytes(args) == 1024
    assert grpc_options(args).port == 8001


def test_what_cannot_be_left_out_ends_the_start_with_every_reason() -> None:
    args = parsed("--model-namespacing=true", "--allow-sagemaker=1", "--http-port=1")
    with pytest.raises(InvalidConfig) as refused:
        list(unserved.notices(args))
    assert [fault.where for fault in refused.value.faults] == [
        "--model-namespacing",
        "--allow-sagemaker",
    ]


def test_nothing_is_told_of_flags_that_are_not_given() -> None:
    assert list(unserved.notices(parsed())) == []


def test_the_flags_of_the_transport_are_its_options() -> None:
    options = grpc_options(
        parsed(
            *"--grpc-address=0.0.0.0 --grpc-port=9 --reuse-grpc-port=1 --exit-timeout-secs=0"
            " --grpc-use-ssl-mutual=true --grpc-server-cert=c --grpc-server-key=k"
            " --grpc-root-cert=r --grpc-infer-response-compression-level=HIGH"
            " --grpc-keepalive-time=1 --grpc-keepalive-timeout=2"
            " --grpc-keepalive-permit-without-calls=0 --grpc-http2-max-pings-without-data=3"
            " --grpc-http2-min-recv-ping-interval-without-data=4 --grpc-http2-max-ping-strikes=5"
            " --grpc-max-connection-age=6 --grpc-max-connection-age-grace=7"
            " --grpc-max-message-bytes=8 --grpc-max-concurrent-streams=9".split()
        )
    )
    assert options.keepalive == Keepalive(
        time_ms=1,
        timeout_ms=2,
        permit_without_calls=False,
        max_pings_without_data=3,
        min_recv_ping_interval_without_data_ms=4,
        max_ping_strikes=5,
        max_connection_age_ms=6,
        max_connection_age_grace_ms=7,
    )
    assert options.tls == Tls(
        certificate=Path("c"), key=Path("k"), root=Path("r"), clients_must_show=True
    )
    assert (options.address(), options.reuse_port, options.grace_s) == ("0.0.0.0:9", True, 0)
    assert options.compression is Compression.HIGH
    assert (options.max_message_bytes, options.max_concurrent_streams) == (8, 9)


def test_without_flags_it_listens_for_this_machine_alone() -> None:
    options = grpc_options(parsed())
    assert (options.is_local, options.tls, options.reuse_port) == (True, None, False)


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        (["--grpc-use-ssl=1"], ["--grpc-server-cert", "--grpc-server-key"]),
        (["--grpc-use-ssl=1", "--grpc-server-cert=c"], ["--grpc-server-key"]),
        (
            ["--grpc-use-ssl-mutual=1", "--grpc-server-cert=c", "--grpc-server-key=k"],
            ["--grpc-root-cert"],
        ),
        (["--allow-grpc=false"], ["--allow-grpc"]),
    ],
)
def test_what_is_missing_for_the_transport_is_named(line: list[str], missing: list[str]) -> None:
    with pytest.raises(InvalidConfig) as refused:
        grpc_options(parsed(*line))
    assert [fault.where for fault in refused.value.faults] == missing


def test_certificates_without_tls_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    assert grpc_options(parsed("--grpc-server-cert=c", "--grpc-root-cert=r")).tls is None
    flags = [vars(record)["flag"] for record in caplog.records]
    assert flags == ["--grpc-server-cert", "--grpc-root-cert"]


def test_a_cache_said_twice_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="said again"):
        cache_bytes(parsed("--cache-config=local,size=1", "--response-cache-byte-size=2"))
    assert cache_bytes(parsed("--cache-config=local,size=3")) == 3
    assert cache_bytes(parsed()) == 0


def test_restricted_groups_are_read_as_triton_reads_them() -> None:
    args = parsed(
        "--grpc-restricted-protocol=shared-memory,model-repository:admin-key=a=b:c",
        "--grpc-restricted-protocol",
        "inference:infer-key=v",
    )
    found = restrictions(args.grpc_restricted_protocol)
    assert list(found) == [Group.SHARED_MEMORY, Group.MODEL_REPOSITORY, Group.INFERENCE]
    assert found[Group.SHARED_MEMORY].header == "triton-grpc-protocol-admin-key"
    assert found[Group.SHARED_MEMORY].value == "a=b:c"
    with pytest.raises(InvalidConfig, match="'inference' more than once"):
        restrictions([restricted("inference:a=b"), restricted("health,inference:c=d")])


@pytest.mark.parametrize(
    "text",
    [
        "inference",
        "inference:key",
        "inference:key=",
        ":key=secret",
        "inference:=secret",
        "infer:key=secret",
        "inference,:key=secret",
        "inference:Key=secret",
        "inference:key-bin=secret",
        "inference:key=sécret",
    ],
)
def test_a_restriction_that_cannot_be_met_is_refused_without_its_value(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        restricted(text)
    assert "cret" not in str(refused.value)


@pytest.mark.parametrize(
    "given",
    [
        "--grpc-keepalive-time=0",
        "--grpc-keepalive-time=-1",
        "--grpc-max-message-bytes=2147483648",
        "--grpc-http2-max-ping-strikes=many",
        "--grpc-infer-response-compression-level=best",
        "--grpc-use-ssl=yes",
        "--http-port=65536",
        "--metrics-interval-ms=nan",
    ],
)
def test_what_no_setting_can_hold_is_refused(given: str) -> None:
    with pytest.raises(argparse.ArgumentError):
        parsed(given)
