"""Backends are found by name, whoever brings them."""

from __future__ import annotations

import pytest

from trivet import plugins
from trivet.errors import InvalidConfig

pytestmark = pytest.mark.usefixtures("installed")


def test_a_third_partys_backends_are_there_beside_ours() -> None:
    assert {"theirs", "made", "lacking"} <= set(plugins.backends())
    assert list(plugins.backends()) == sorted(plugins.backends())


@pytest.mark.parametrize("name", ["theirs", "made"])
def test_a_backend_may_be_a_class_or_an_object(name: str) -> None:
    assert type(plugins.load_backend(name)).__name__ == "Backend"


def test_an_unknown_backend_is_answered_with_those_installed() -> None:
    with pytest.raises(InvalidConfig) as error:
        plugins.load_backend("tensorflow")
    (fault,) = error.value.faults
    assert fault.where == "backend 'tensorflow'"
    assert "made, " in fault.cure and "theirs" in fault.cure


def test_a_backend_whose_engine_is_missing_says_what_to_install() -> None:
    with pytest.raises(InvalidConfig) as error:
        plugins.load_backend("lacking")
    (fault,) = error.value.faults
    assert fault.cure == "pip install 'theirs[huge]'"


def test_the_first_extra_that_brings_a_package_is_named() -> None:
    requires = [
        "numpy>=2",
        "onnx>=1.18; extra == 'workshop'",
        "onnxruntime>=1.22; extra == 'onnxruntime'",
        "onnxruntime>=1.22; extra == 'workshop'",
        'ml-dtypes[all] (>=0.5); python_version > "3" and extra == "server"',
    ]
    assert plugins.extra_with("onnxruntime", requires) == "onnxruntime"
    assert plugins.extra_with("onnx", requires) == "workshop"
    assert plugins.extra_with("ml_dtypes", requires) == "server"
    assert plugins.extra_with("numpy", requires) == ""
    assert plugins.extra_with("", requires) == ""


def test_code_out_of_the_repository_runs_only_where_it_may() -> None:
    with pytest.raises(InvalidConfig) as error:
        plugins.load_backend("python")
    (fault,) = error.value.faults
    assert fault.where == "backend 'python'"
    assert "switched off" in fault.what
    assert "--allow-python-backend=true" in fault.cure
    assert type(plugins.load_backend("python", user_code=True)).__name__ == "PythonBackend"
