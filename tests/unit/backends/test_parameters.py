"""Parameters of a config: read, defaulted, refused all at once."""

from __future__ import annotations

import pytest

from trivet.config import ModelConfig
from trivet.errors import InvalidConfig
from trivet_backends.parameters import Reader, one_of, switch, text, whole

COUNT = whole("count", 3, "How many.", at_least=1)
ON = switch("on", True, "Whether.")
COLOUR = one_of("colour", {"red": 1, "blue": 2}, 2, "Which.")
NAME = text("name", "none", "What.")


def reader(**parameters: str) -> Reader:
    return Reader(ModelConfig(name="m", parameters=parameters))


def test_what_is_not_written_has_its_default() -> None:
    found = [reader().value(p) for p in (COUNT, ON, COLOUR, NAME)]
    assert found == [3, True, 2, "none"]


def test_what_is_written_is_read() -> None:
    written = reader(count="7", on="FALSE", colour=" Red", name="x")
    assert [written.value(p) for p in (COUNT, ON, COLOUR, NAME)] == [7, False, 1, "x"]
    written.done()


@pytest.mark.parametrize("nonsense", ["0", "-1", "many", "", "1.5"])
def test_a_number_out_of_its_range_is_a_fault(nonsense: str) -> None:
    wrong = reader(count=nonsense)
    assert wrong.value(COUNT) == 3
    (fault,) = wrong.faults
    assert fault.where == 'm/config.pbtxt: parameters["count"]'
    assert fault.what == f"'{nonsense}' is no valid value"
    assert fault.cure == "use a whole number of at least 1"


def test_all_faults_are_told_at_once() -> None:
    wrong = reader(count="0", on="perhaps", colour="green")
    for parameter in (COUNT, ON, COLOUR):
        wrong.value(parameter)
    with pytest.raises(InvalidConfig) as refused:
        wrong.done()
    assert [fault.cure for fault in refused.value.faults] == [
        "use a whole number of at least 1",
        "use one of 1, true, 0, false",
        "use one of red, blue",
    ]


def test_a_misspelt_name_is_a_fault_and_a_strange_one_is_not() -> None:
    wrong = reader(colours="red", max_batch_tokens="256")
    wrong.look_for_typos((COUNT, ON, COLOUR, NAME))
    (fault,) = wrong.faults
    assert fault.where.endswith('parameters["colours"]')
    assert fault.cure == "did you mean 'colour'?"
