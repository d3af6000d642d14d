"""On which device each instance of a model runs, and what is refused."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from trivet.backend.contract import Artifact, Gpus, LoadContext
from trivet.backend.placement import ACCELERATORS, PROFILE, contexts, placed, posts
from trivet.config import Accelerator, InstanceGroup, InstanceKind, ModelConfig
from trivet.errors import InvalidConfig

CONTEXT = LoadContext(version=1, path=Path("m/1"), where="m/1", threads=1)
CPU, GPU, AUTO = InstanceKind.CPU, InstanceKind.GPU, InstanceKind.AUTO


class OnTheCpu:
    """A backend that knows of no GPU."""

    def open(self, config: ModelConfig, context: LoadContext) -> Artifact:
        raise NotImplementedError


class OnGpus(OnTheCpu):
    """One that has some."""

    def __init__(self, *numbers: int, fields: Collection[str] = ()) -> None:
        self._numbers = numbers
        self.fields = fields

    def gpus(self, config: ModelConfig) -> Gpus:
        return Gpus(numbers=self._numbers, lacking="no GPU that works", cure="mend it")


def config(*groups: InstanceGroup) -> ModelConfig:
    return ModelConfig(name="m", backend="b", instance_groups=groups)


def group(kind: InstanceKind, count: int = 1, *gpus: int) -> InstanceGroup:
    return InstanceGroup(kind=kind, count=count, gpus=gpus)


def devices(backend: OnTheCpu, *groups: InstanceGroup) -> list[int | None]:
    return [device for device, _ in posts(placed(config(*groups), backend))]


def faults(backend: OnTheCpu, written: ModelConfig) -> list[str]:
    with pytest.raises(InvalidConfig) as refused:
        placed(written, backend)
    return list(map(str, refused.value.faults))


def test_a_group_has_its_count_on_each_of_its_gpus() -> None:
    found = devices(OnGpus(0, 1), group(GPU, 2, 1), group(GPU, 1), group(CPU, 2))
    assert found == [1, 1, 0, 1, None, None]


@pytest.mark.parametrize(
    ("numbers", "expected"), [((), [None, None]), ((0,), [0, 0]), ((0, 1), [0, 0, 1, 1])]
)
def test_auto_is_the_gpus_where_there_are_some(
    numbers: tuple[int, ...], expected: list[int | None]
) -> None:
    assert devices(OnGpus(*numbers), group(AUTO, 2)) == expected


def test_a_model_without_groups_has_an_instance_on_every_gpu() -> None:
    assert devices(OnGpus(0, 1)) == [0, 1]
    for backend in (OnGpus(), OnTheCpu()):
        assert placed(config(), backend).instance_groups == ()


def test_the_count_of_instances_is_of_all_gpus() -> None:
    told = placed(config(group(GPU, 2), group(CPU, 3)), OnGpus(0, 1))
    assert told.instance_count == 7


def test_a_gpu_never_becomes_the_cpu() -> None:
    at = "m/config.pbtxt: instance_group[1]"
    written = config(group(CPU), group(GPU))
    assert faults(OnGpus(), written) == [f"{at}.kind: no GPU that works; mend it"]
    (fault,) = faults(OnTheCpu(), written)
    assert fault.startswith(f"{at}.kind: backend 'b' computes on no GPU")


def test_a_gpu_that_is_not_there_is_refused() -> None:
    (fault,) = faults(OnGpus(0, 1), config(group(GPU, 1, 0, 2)))
    told = "there is no GPU 2 here; name some of 0, 1"
    assert fault == f"m/config.pbtxt: instance_group[0].gpus: {told}"


def test_fields_of_other_backends_are_refused() -> None:
    written = replace(
        config(replace(group(AUTO), profiles=(1,))), gpu_accelerators=(Accelerator(name="x"),)
    )
    for backend in (OnTheCpu(), OnGpus(0)):
        first, second = faults(backend, written)
        assert first.startswith(f"m/config.pbtxt: {ACCELERATORS}: backend 'b' hands nothing")
        assert second.startswith("m/config.pbtxt: instance_group[0].profile: backend 'b' has no")
    assert placed(written, OnGpus(fields=(ACCELERATORS, PROFILE))) == written


def test_an_artifact_is_opened_once_for_each_device() -> None:
    told = placed(config(group(GPU, 2), group(CPU), group(GPU, 1, 1)), OnGpus(0, 1))
    opened = contexts(told, CONTEXT)
    assert list(opened) == [0, 1, None]
    assert [context.gpu for context in opened.values()] == [0, 1, None]
    assert contexts(config(), CONTEXT) == {None: CONTEXT}
