"""The Python backend: what is wrong with a model.py, what it answers, and how its process ends."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness.python_models import write
from trivet.backend.contract import Answer, Batch, Instance, LoadContext, Rows
from trivet.config import ModelConfig, TensorSpec
from trivet.config_file import Faults
from trivet.errors import Code, EngineFailed, InstanceDied, InvalidConfig, ServeError
from trivet.model.completion import completed
from trivet_backends.python.backend import PythonArtifact, PythonBackend
from trivet_backends.python.instance import PythonStream

CONFIG = ModelConfig(
    name="m",
    backend="python",
    max_batch_size=8,
    inputs=(TensorSpec(name="IN", datatype="FP32", dims=(-1,)),),
    outputs=(TensorSpec(name="OUT", datatype="FP32", dims=(-1,)),),
)
ONE = np.ones((1, 2), np.float32)

Open = Callable[..., Instance]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., PythonArtifact]]:
    """Opens a model.py, and closes it in the end."""
    artifacts: list[PythonArtifact] = []

    def open_it(code: str, config: ModelConfig = CONFIG, **parameters: str) -> PythonArtifact:
        write(tmp_path / "m" / "1", code)
        context = LoadContext(version=1, path=tmp_path / "m" / "1", where="m/1", threads=1)
        config = replace(config, parameters=parameters)
        artifacts.append(PythonBackend().open(config, context))
        return artifacts[-1]

    yield open_it
    for artifact in artifacts:
        artifact.close()


@pytest.fixture
def instance(opened: Callable[..., PythonArtifact]) -> Iterator[Open]:
    """Makes an instance of a model.py, and closes it in the end."""
    made: list[Instance] = []

    def make(code: str, config: ModelConfig = CONFIG, **parameters: str) -> Instance:
        made.append(opened(code, config, **parameters).instance(config))
        return made[-1]

    yield make
    for one in made:
        one.close()


def execute(instance: Instance, *requests: Rows) -> list[Answer | ServeError]:
    batch = Batch(requests or [Rows({"IN": ONE})], time.monotonic_ns)
    return list(instance.execute(batch))


def failure(instance: Instance, *requests: Rows) -> str:
    """What one request is told."""
    try:
        (answer,) = execute(instance, *requests)
    except ServeError as error:
        return error.message
    assert isinstance(answer, ServeError), answer
    return answer.message


TRITON = """
    import os, sys, time
    import numpy as np
    import triton_python_backend_utils as pb_utils

    def answer(array, name="OUT"):
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, array)])

    class TritonPythonModel:
        def execute(self, requests):
            {body}
"""


def triton(body: str) -> str:
    return TRITON.format(body=body)


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("class Model:\n  def execute(self inputs):\n    pass\n", "line 2: "),
        ("import no_such_package\n", "importing it raised ModuleNotFoundError at line 1: "),
        ("\n\n1 / 0\n", "importing it raised ZeroDivisionError at line 3: division by zero"),
        (
            "import triton_python_backend_utils as pb\npb.MetricFamily('x')\n",
            "importing it raised AttributeError at line 2: this server's pb_utils has no 'MetricFa",
        ),
        (
            "open('/no/such/file')\n",
            "importing it raised FileNotFoundError at line 1: [Errno 2] No",
        ),
        ("import sys\nsys.exit(3)\n", "importing it raised SystemExit at line 2: 3"),
        ("import os\nos._exit(3)\n", "while it was loaded, its process ended by itself, with st"),
        ("x = 1\n", "has neither a class TritonPythonModel nor a class Model"),
        (
            "class Model:\n  execute = 1\nclass TritonPythonModel:\n  pass\n",
            "has both a class TritonPythonModel and a class Model",
        ),
        ("class TritonPythonModel:\n  pass\n", "class TritonPythonModel has no method execute"),
        ("class Model:\n  def execute(self): pass\n", "execute of class Model takes 0 arguments"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(
    opened: Callable[..., PythonArtifact], tmp_path: Path, code: str, what: str
) -> None:
    with pytest.raises(InvalidConfig) as refused:
        opened(code)
    (fault,) = refused.value.faults
    assert fault.where == "m/1/model.py"
    assert fault.what.startswith(what)
    assert fault.cure
    assert "/no/such" not in fault.what
    assert str(tmp_path) not in str(fault)


def test_a_missing_package_is_cured_by_installing_it_or_by_another_environment(
    opened: Callable[..., PythonArtifact],
) -> None:
    with pytest.raises(InvalidConfig) as refused:
        opened("import no_such_package\n")
    assert refused.value.faults[0].cure == (
        "install 'no_such_package', or name an environment that has it in EXECUTION_ENV_PATH"
    )


def test_a_model_that_cannot_be_initialized_is_no_instance(instance: Open) -> None:
    code = (
        triton("pass")
        + "\n        def initialize(self, args):\n            raise OSError('full')\n"
    )
    with pytest.raises(InvalidConfig, match=r"starting it raised OSError at line \d+: full"):
        instance(code)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("return [answer(np.ones((1, 2), np.float32), 'UOT')]", "gave no output 'OUT'; it gave 'U"),
        (
            "return [answer(np.ones((1, 2)))]",
            "gave output 'OUT' as FP64, and config.pbtxt says FP3",
        ),
        (
            "return [answer(np.ones(2, np.float32))]",
            "'OUT' in shape [2], and config.pbtxt says [-1",
        ),
        ("return [answer(np.array([[1, 2]], object))]", "holds a int, and is BYTES; give bytes or"),
        ("return [answer([1.0])]", "tensor 'OUT' is made of a list; give a numpy array"),
        ("return []", "execute returned 0 answers to 1 requests"),
        ("return [None]", "execute returned None in place of an InferenceResponse"),
        ("return ['x']", "execute returned a str in place of an InferenceResponse"),
        ("return 5", "execute returned a int; return a list of InferenceResponse"),
        ("requests[0].set_release_flags(2)", "requests cannot be rescheduled here"),
        ("sys.exit('done')", "SystemExit at line 11: done"),
    ],
)
def test_what_is_wrong_with_an_answer_is_told(instance: Open, body: str, text: str) -> None:
    assert text in failure(instance(triton(body)))


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        ("np.ones(1)", "execute gave a ndarray; give a dict of name to array"),
        ("{'OUT': [[1.0]]}", "gave output 'OUT' as FP64"),
        ("{}", "gave no output 'OUT'; it gave none"),
        ("{'OUT': np.ones((3, 2), np.float32)}", "has shape [3, 2] for a batch of 1 rows"),
    ],
)
def test_what_is_wrong_with_our_form_is_told(instance: Open, returned: str, text: str) -> None:
    code = f"import numpy as np\nclass Model:\n  def execute(self, inputs): return {returned}\n"
    assert text in failure(instance(code))


OWN = """
    class Model:
        def load(self, context):
            self.told = f"{context.name} {context.version} {context.device} {context.instance}"
            self.config = context.config

        def execute(self, inputs, request):
            if "fail" in request.parameters:
                raise ValueError(request.id)
            print(request.outputs)
            return {"OUT": inputs["IN"] * len(self.told), "other": inputs["IN"]}

        def close(self):
            print("closed")
"""


def test_our_form_sees_each_request_if_it_takes_two_arguments(instance: Open) -> None:
    made = instance(OWN)
    good, bad = Rows({"IN": ONE}), Rows({"IN": ONE}, {"fail": True}, "seven")
    first, second, third = execute(made, good, bad, good)
    for answer in (first, third):
        assert isinstance(answer, Answer)
        assert answer.outputs.keys() == {"OUT"}
        assert answer.outputs["OUT"][0, 0] == len("m 1 cpu m_0")
    assert isinstance(second, EngineFailed)
    assert second.message == "ValueError at line 9: seven"


SLOW = """
    import time
    class Model:
        def execute(self, inputs, request):
            end = time.monotonic() + 10
            while not request.is_cancelled():
                assert time.monotonic() < end
                time.sleep(0.001)
            return {"OUT": inputs["IN"]}
"""


def test_code_learns_that_its_caller_left(instance: Open) -> None:
    left = threading.Event()
    timer = threading.Timer(0.1, left.set)
    timer.start()
    (answer,) = execute(instance(SLOW), Rows({"IN": ONE}, is_cancelled=left.is_set))
    assert isinstance(answer, Answer)
    timer.join()


class Collected:
    """A caller who reads everything."""

    def __init__(self) -> None:
        self.answers: list[tuple[float, bool]] = []

    def send(self, answer: Answer, *, final: bool = False) -> None:
        self.answers.append((float(answer.outputs["OUT"][0, 0]), final))

    def is_cancelled(self) -> bool:
        return False


GENERATOR = """
    import numpy as np
    class Model:
        {async_}def execute(self, inputs):
            for n in range(int(inputs["IN"][0, 0])):
                yield {{"OUT": np.array([[n]], np.float32)}}
            if inputs["IN"][0, 1]:
                raise ValueError("at the end")
"""


@pytest.mark.parametrize("async_", ["", "async "])
def test_a_generator_makes_a_decoupled_model(
    opened: Callable[..., PythonArtifact], async_: str
) -> None:
    artifact = opened(GENERATOR.format(async_=async_))
    assert artifact.signature.policies is not None
    assert artifact.signature.policies.decoupled
    made = artifact.instance(replace(CONFIG, decoupled=True))
    assert isinstance(made, PythonStream)
    caller = Collected()
    made.stream(Rows({"IN": np.array([[3, 0]], np.float32)}), caller)
    assert caller.answers == [(0, False), (1, False), (2, False)]
    with pytest.raises(EngineFailed, match="ValueError at line 8: at the end"):
        made.stream(Rows({"IN": np.array([[1, 1]], np.float32)}), caller)
    made.stream(Rows({"IN": np.array([[0, 0]], np.float32)}), caller)
    assert len(caller.answers) == 4
    made.close()


def test_a_triton_error_chooses_its_status(instance: Open) -> None:
    body = "raise pb_utils.TritonError('later', pb_utils.TritonError.UNAVAILABLE)"
    with pytest.raises(EngineFailed) as failed:
        execute(instance(triton(body)))
    assert failed.value.code is Code.UNAVAILABLE
    assert failed.value.message == "later"


def test_one_answer_may_come_through_a_sender(instance: Open) -> None:
    body = "requests[0].get_response_sender().send(answer(np.ones((1, 2), np.float32)), 1)"
    (told,) = execute(instance(triton(body)))
    assert isinstance(told, Answer)
    body = "self.sender = requests[0].get_response_sender(); del self.sender"
    assert "let go of the request without an answer" in failure(instance(triton(body)))


def test_tensors_pass_to_other_libraries_and_back(instance: Open) -> None:
    body = (
        "array = requests[0].inputs()[0]; shared = np.from_dlpack(array); shared += 1;"
        " return [pb_utils.InferenceResponse([pb_utils.Tensor.from_dlpack('OUT', array)])]"
    )
    (told,) = execute(instance(triton(body.replace("shared += 1", "shared = shared + 1"))))
    assert isinstance(told, Answer)
    assert told.outputs["OUT"].tolist() == [[1, 1]]


def pid_of(instance: Any) -> int:
    found: int = instance._talk._process.pid
    return found


COMPLETING = (
    triton("return [answer(r.inputs()[0].as_numpy()) for r in requests]")
    + """
        @staticmethod
        def auto_complete_config(config):
            config.add_input({{"name": "IN", "data_type": "TYPE_FP32", "dims": {dims}}})
            config.add_output({{"name": "OUT", "data_type": "TYPE_FP32", "dims": [-1]}})
            config.set_max_batch_size({rows})
            return config
"""
)
NOTHING_SAID = ModelConfig(name="m", backend="python")


@pytest.mark.parametrize(("rows", "dims"), [(0, (-1,)), (3, (-1, -1))])
def test_what_the_file_tells_of_batches_is_how_it_is_served(
    opened: Callable[..., PythonArtifact], rows: int, dims: tuple[int, ...]
) -> None:
    artifact = opened(COMPLETING.format(dims=[-1], rows=rows), NOTHING_SAID)
    assert [spec.dims for spec in artifact.signature.inputs] == [dims]
    config = completed(NOTHING_SAID, artifact.signature, "m/1", faults := Faults())
    assert not list(faults)
    assert config.max_batch_size == rows
    assert config.inputs[0].dims == (-1,)
    assert config.dynamic_batching is None


@pytest.mark.parametrize(
    ("dims", "rows", "what"),
    [
        ("[2]", 8, "config.pbtxt says dims [-1] of input 'IN', and auto_complete_config [2]"),
        ("[-1]", 4, "config.pbtxt says max_batch_size: 8, and auto_complete_config 4"),
    ],
)
def test_what_the_file_tells_otherwise_than_the_config_is_refused(
    opened: Callable[..., PythonArtifact], dims: str, rows: int, what: str
) -> None:
    with pytest.raises(InvalidConfig) as refused:
        opened(COMPLETING.format(dims=dims, rows=rows))
    assert what in refused.value.faults[0].what


IDENTITY = triton("return [answer(r.inputs()[0].as_numpy()) for r in requests]")


def test_a_process_that_was_killed_idle_is_blamed_on_nobody(instance: Open) -> None:
    made = instance(IDENTITY)
    os.kill(pid_of(made), signal.SIGKILL)
    os.waitid(os.P_PID, pid_of(made), os.WEXITED | os.WNOWAIT)
    with pytest.raises(InstanceDied) as died:
        execute(made)
    assert died.value.idle


def test_a_process_that_dies_at_work_says_how(instance: Open) -> None:
    with pytest.raises(InstanceDied, match="its process was killed by SIGSEGV") as died:
        execute(instance(triton("os.kill(os.getpid(), 11); time.sleep(10)")))
    assert not died.value.idle


def test_one_that_is_killed_in_the_middle_of_a_long_message_is_noticed(instance: Open) -> None:
    made = instance(triton("time.sleep(60)"), ring_bytes="64")
    pid = pid_of(made)
    threading.Timer(0.2, os.kill, (pid, signal.SIGKILL)).start()
    with pytest.raises(InstanceDied, match="killed by SIGKILL"):
        execute(made, *[Rows({"IN": np.ones((1, 100_000), np.float32)})] * 3)


def test_long_messages_pass_a_small_ring_in_pieces(instance: Open) -> None:
    array = np.arange(30_000, dtype=np.float32).reshape(1, -1)
    (told,) = execute(instance(IDENTITY, ring_bytes="1024"), Rows({"IN": array}))
    assert isinstance(told, Answer)
    np.testing.assert_array_equal(told.outputs["OUT"], array)


def test_a_close_that_hangs_is_cut_short(opened: Callable[..., PythonArtifact]) -> None:
    code = IDENTITY + "\n        def finalize(self):\n            time.sleep(60)\n"
    made = opened(code, close_timeout_s="0").instance(CONFIG)
    started, pid = time.monotonic(), pid_of(made)
    made.close()
    assert time.monotonic() - started < 10
    assert not Path(f"/proc/{pid}").exists()


def test_a_process_is_known_by_its_model_to_who_looks_at_processes(
    instance: Callable[..., Instance],
) -> None:
    words = Path(f"/proc/{pid_of(instance(IDENTITY))}/cmdline").read_text().split("\0")
    assert f"model={CONFIG.name} version=1" in words


def test_nothing_is_left_of_closed_instances(opened: Callable[..., PythonArtifact]) -> None:
    def held() -> tuple[int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), len(threading.enumerate())

    artifact = opened(IDENTITY)
    artifact.instance(CONFIG).close()
    before = held()
    for _ in range(5):
        made = artifact.instance(CONFIG)
        os.kill(pid_of(made), signal.SIGKILL)
        made.close()
    assert held() == before


def test_messages_leave_no_memory_behind(instance: Open) -> None:
    made = instance(IDENTITY)
    requests = [Rows({"IN": np.ones((1, 4_096), np.float32)})] * 32

    def resident() -> int:
        return sum(
            int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
            for pid in (os.getpid(), pid_of(made))
        )

    for _ in range(50):
        execute(made, *requests)
    before = resident()
    for _ in range(320):  # 10,240 messages of 16 KiB, 160 MiB each way
        execute(made, *requests)
    assert resident() - before < 16 << 20


def test_another_interpreter_may_run_the_model(instance: Open) -> None:
    made = instance(IDENTITY, EXECUTION_ENV_PATH=sys.prefix)
    assert isinstance(execute(made)[0], Answer)


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/nowhere/bin/python3", "there is no interpreter in"),
        ("/bin/sh", "'/bin/sh' names no interpreter"),
        ("env/bin/python", "'env/bin/python' names no interpreter"),
        ("$$TRITON_MODEL_DIRECTORY/env.tar.gz", "is an archive"),
    ],
)
def test_an_interpreter_that_is_none_is_refused(
    opened: Callable[..., PythonArtifact], path: str, what: str
) -> None:
    with pytest.raises(InvalidConfig) as refused:
        opened(IDENTITY, EXECUTION_ENV_PATH=path)
    (fault,) = refused.value.faults
    assert fault.where == 'm/config.pbtxt: parameters["EXECUTION_ENV_PATH"]'
    assert what in fault.what


def test_a_process_that_cannot_be_started_leaves_nothing_behind(
    opened: Callable[..., PythonArtifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(pid: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    before = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(os, "pidfd_open", none_left)
    with pytest.raises(InvalidConfig, match="its process cannot be started: Too many open files"):
        opened(IDENTITY)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


LEAVING = """
    import os
    import subprocess
    import numpy as np

    class Model:
        def execute(self, inputs):
            started = subprocess.Popen(["sleep", "60"])
            return {"OUT": np.array([[started.pid, os.getpid()]], np.float32)}
"""


@pytest.mark.parametrize("kills", [False, True])
def test_processes_that_a_model_left_behind_end_with_it(instance: Open, kills: bool) -> None:
    made = instance(LEAVING)
    (told,) = execute(made)
    assert isinstance(told, Answer)
    left, own = map(int, told.outputs["OUT"][0])
    if kills:
        os.kill(own, signal.SIGKILL)
    made.close()
    end = time.monotonic() + 10
    while Path(f"/proc/{left}").exists() and _state(left) != "Z":
        assert time.monotonic() < end
        time.sleep(0.01)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"


def test_other_models_are_there_once_this_one_is_initialized(instance: Open) -> None:
    ask = "pb_utils.InferenceRequest(model_name='other').exec()"
    code = triton("pass") + f"\n        def initialize(self, args):\n            {ask}\n"
    with pytest.raises(InvalidConfig, match="not in initialize or finalize"):
        instance(code)
    body = f"return [pb_utils.InferenceResponse(error={ask}.error())]"
    assert failure(instance(triton(body))) == "models cannot be asked outside of a server"
