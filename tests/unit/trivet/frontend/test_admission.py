"""Who is let in, as a table of cases; what is under way is counted exactly."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.harness.frontend import echo_model, publish
from trivet.cli.flags.groups import GROUPS
from trivet.errors import Overloaded
from trivet.frontend.admission import Admission, AdmissionLimits, Load, exceeded
from trivet.frontend.unfolding import first_text
from trivet.repository.registry import Registry
from trivet.telemetry.failures import Reason, reason_of
from trivet_protos.generated import grpc_service_pb2 as pb

ANY = AdmissionLimits(max_inflight_requests=0, max_inflight_bytes=0)
THREE = AdmissionLimits(max_inflight_requests=3, max_inflight_bytes=0)
KILO = AdmissionLimits(max_inflight_requests=0, max_inflight_bytes=1000)


@pytest.mark.parametrize(
    ("load", "size", "limits", "of_model", "most_of_model", "why"),
    [
        (Load(10**6, 10**12), 10**9, ANY, 10**6, 0, None),
        (Load(0, 0), 1, THREE, 0, 0, None),
        (Load(2, 0), 1, THREE, 0, 0, None),
        (Load(3, 0), 1, THREE, 0, 0, "--max-inflight-requests"),
        (Load(4, 0), 1, THREE, 0, 0, "--max-inflight-requests"),  # after the limit was lowered
        (Load(1, 400), 600, KILO, 0, 0, None),
        (Load(1, 400), 601, KILO, 0, 0, "--max-inflight-bytes"),
        (Load(0, 0), 5000, KILO, 0, 0, None),  # alone
        (Load(1, 0), 5000, KILO, 0, 0, "--max-inflight-bytes"),
        (Load(9, 0), 1, ANY, 1, 2, None),
        (Load(9, 0), 1, ANY, 2, 2, "max_inflight_requests)"),
        (Load(3, 0), 1, THREE, 2, 2, "--max-inflight-requests"),  # the server's counts first
    ],
)
def test_what_is_let_in(
    load: Load,
    size: int,
    limits: AdmissionLimits,
    of_model: int,
    most_of_model: int,
    why: str | None,
) -> None:
    told = exceeded(load, size, limits, of_model, most_of_model)
    assert (told is None) if why is None else (told is not None and why in told)


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    for name in ("one", "two"):
        publish(registry, echo_model(name, max_inflight_requests=2 if name == "two" else 0))
    return registry


def rejected(registry: Registry, name: str) -> int:
    model = registry.latest(name)
    assert model is not None
    return model.statistics.failures[Reason.REJECTED]


def test_what_is_under_way_counts_until_it_is_over_however_it_ends(registry: Registry) -> None:
    admission = Admission(registry, AdmissionLimits(max_inflight_requests=2))
    with ExitStack() as stack:
        stack.enter_context(admission.let_in("one", 10))
        with pytest.raises(ValueError, match="own"), admission.let_in("one", 20):
            assert admission.load == Load(2, 30)
            with pytest.raises(Overloaded), admission.let_in("one", 1):
                pytest.fail("let in")
            raise ValueError("its own")
        assert admission.load == Load(1, 10)
        stack.enter_context(admission.let_in("nobody", 5))
        with pytest.raises(Overloaded) as refused, admission.let_in("nobody", 1):
            pytest.fail("let in")
        assert "nobody" not in refused.value.message  # what a caller says is not repeated
        assert refused.value.retry_after_s > 0
        assert reason_of(refused.value) is Reason.REJECTED
    assert admission.load == Load()
    assert (rejected(registry, "one"), rejected(registry, "two")) == (1, 0)


def test_a_models_own_limit_bounds_no_other(registry: Registry) -> None:
    admission = Admission(registry)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(admission.let_in("two", 1))
        for _ in range(3):
            with pytest.raises(Overloaded, match="'two': it has 2"), admission.let_in("two", 1):
                pytest.fail("let in")
        for _ in range(5):
            stack.enter_context(admission.let_in("one", 1))
    with admission.let_in("two", 1):
        assert admission.load == Load(1, 1)
    assert (rejected(registry, "one"), rejected(registry, "two")) == (0, 3)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (pb.ModelInferRequest(model_name="minilm", id="7").SerializeToString(), "minilm"),
        (pb.ModelInferRequest(model_name="é" * 300).SerializeToString(), "é" * 300),
        (pb.ModelInferRequest(id="7").SerializeToString(), ""),
        (b"", ""),
        (b"\n", ""),
        (b"\n\xff\xff", ""),
        (b"\n\x05ab", "ab"),
        (b"\n\x01\xff", "\N{REPLACEMENT CHARACTER}"),
        (b"\n\xff\xff\xff\xff\x0f" + b"a" * 9000, "a" * 4096),
    ],
)
def test_the_first_text_of_any_bytes(message: bytes, text: str) -> None:
    assert first_text(message) == text


def test_every_limit_has_its_flag() -> None:
    flags = {f"--{flag.name}": flag.default for group in GROUPS for flag in group.flags}
    for limit, flag in AdmissionLimits.FLAGS.items():
        assert flags[flag] == getattr(AdmissionLimits(), limit)
