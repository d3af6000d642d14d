"""The models that the tests serve, each a file as its author would write it."""

from __future__ import annotations

from pathlib import Path

from tests.harness import python_models
from tests.harness.python_models import config

DECOUPLED = "model_transaction_policy { decoupled: true }"
ALL_TYPES = (
    *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
    *("FP16", "FP32", "FP64", "STRING", "BF16"),
)

IDENTITY = """
    import triton_python_backend_utils as pb_utils

    class TritonPythonModel:
        def execute(self, requests):
            answers = []
            for request in requests:
                tensors = [
                    pb_utils.Tensor(t.name().replace("IN", "OUT", 1), t.as_numpy())
                    for t in request.inputs()
                ]
                answers.append(pb_utils.InferenceResponse(output_tensors=tensors))
            return answers
"""

# What a request brings, as text; and what it says of itself.
TELLING = """
    import json
    import os
    import numpy as np
    import triton_python_backend_utils as pb_utils

    class TritonPythonModel:
        def initialize(self, args):
            self.args = args
            self.config = json.loads(args["model_config"])
            print("it printed this")
            pb_utils.Logger.log_warn("it warned of this")

        def execute(self, requests):
            return [self.answer(request) for request in requests]

        def answer(self, request):
            out = pb_utils.get_output_config_by_name(self.config, "TOLD")
            told = {
                "id": request.request_id(),
                "correlation": request.correlation_id(),
                "flags": request.flags(),
                "outputs": request.requested_output_names(),
                "parameters": json.loads(request.parameters()),
                "cancelled": request.is_cancelled(),
                "type": pb_utils.triton_string_to_numpy(out["data_type"]).__name__,
                "decoupled": pb_utils.using_decoupled_model_transaction_policy(self.config),
                "args": self.args,
                "pid": os.getpid(),
            }
            text = np.array([[json.dumps(told)]], dtype=object)
            shape = np.array([[len(request.inputs())]], dtype=np.int32)
            return pb_utils.InferenceResponse(
                [pb_utils.Tensor("TOLD", text), pb_utils.Tensor("COUNT", shape)],
                parameters={"seen": True, "times": 3, "by": "model", "share": 0.5},
            )
"""

# What the first element says: 1 an error of its own, 2 an exception, 3 the end of the process.
FAILING = """
    import os
    import triton_python_backend_utils as pb_utils

    class TritonPythonModel:
        def execute(self, requests):
            answers = []
            for request in requests:
                tensor = pb_utils.get_input_tensor_by_name(request, "IN")
                first = tensor.as_numpy()[0, 0]
                if first == 1:
                    error = pb_utils.TritonError("no such word", pb_utils.TritonError.NOT_FOUND)
                    answers.append(pb_utils.InferenceResponse(error=error))
                    continue
                if first == 2:
                    raise KeyError("in /a/folder/of/mine")
                if first == 3:
                    os._exit(7)
                if first == 4:
                    raise pb_utils.TritonModelException("raised on purpose")
                answers.append(pb_utils.InferenceResponse(
                    output_tensors=[pb_utils.Tensor("OUT", tensor.as_numpy())]))
            return answers
"""

# As many answers as IN says, from a thread that outlives execute.
REPEATING = """
    import threading
    import numpy as np
    import triton_python_backend_utils as pb_utils

    class TritonPythonModel:
        def execute(self, requests):
            for request in requests:
                threading.Thread(target=self.answer, args=(request,)).start()
            return None

        def answer(self, request):
            sender = request.get_response_sender()
            count = int(pb_utils.get_input_tensor_by_name(request, "IN").as_numpy()[0, 0])
            for number in range(count):
                out = pb_utils.Tensor("OUT", np.array([[number]], np.float32))
                sender.send(pb_utils.InferenceResponse([out]))
            if count == 13:
                error = pb_utils.TritonError("thirteen is too many")
                sender.send(pb_utils.InferenceResponse(error=error))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""

# Answers until nobody listens, and then says so in a file.
ENDLESS = """
    import itertools
    from pathlib import Path
    import numpy as np

    class Model:
        def load(self, context):
            self.heard = context.folder / "heard"

        async def execute(self, inputs):
            try:
                for number in itertools.count():
                    yield {"OUT": np.array([[number]], np.float32)}
            finally:
                self.heard.write_text("left")
"""

# Computes until its caller has left, and then says so in a file.
PATIENT = """
    import time
    from pathlib import Path
    import triton_python_backend_utils as pb_utils

    class TritonPythonModel:
        def execute(self, requests):
            folder = Path(pb_utils.get_model_dir())
            (folder / "began").touch()
            while not requests[0].is_cancelled():
                time.sleep(0.001)
            (folder / "heard").touch()
            error = pb_utils.TritonError("cancelled", pb_utils.TritonError.CANCELLED)
            return [pb_utils.InferenceResponse(error=error)]
"""

# Asks IDENTITY of another model, and doubles what it says.
ASKING = """
    import triton_python_backend_utils as pb_utils

    class TritonPythonModel:
        async def execute(self, requests):
            return [await self.answer(request) for request in requests]

        async def answer(self, request):
            tensor = pb_utils.get_input_tensor_by_name(request, "IN")
            asked = pb_utils.InferenceRequest(
                model_name="identity" if tensor.as_numpy()[0, 0] < 100 else "nobody",
                inputs=[pb_utils.Tensor("IN", tensor.as_numpy())],
                requested_output_names=["OUT"],
            )
            answer = await asked.async_exec()
            if answer.has_error():
                return pb_utils.InferenceResponse(error=answer.error())
            out = pb_utils.get_output_tensor_by_name(answer, "OUT").as_numpy()
            return pb_utils.InferenceResponse([pb_utils.Tensor("OUT", out * 2)])
"""

# Everything that its config leaves out, told by itself.
COMPLETING = """
    import triton_python_backend_utils as pb_utils

    class TritonPythonModel:
        @staticmethod
        def auto_complete_config(auto_complete_model_config):
            tensor = {"data_type": "TYPE_INT32", "dims": [2]}
            auto_complete_model_config.add_input({"name": "A", **tensor})
            auto_complete_model_config.add_output({"name": "B", **tensor})
            auto_complete_model_config.set_max_batch_size(6)
            auto_complete_model_config.set_dynamic_batching()
            return auto_complete_model_config

        def execute(self, requests):
            return [
                pb_utils.InferenceResponse([pb_utils.Tensor("B", r.inputs()[0].as_numpy() + 1)])
                for r in requests
            ]
"""


_TELLING_CONFIG = config(
    inputs={"IN": "TYPE_FP32"}, outputs={"TOLD": "TYPE_STRING", "COUNT": "TYPE_INT32"}
)


def write_telling(repository: Path) -> None:
    """The model that tells what it sees, alone."""
    python_models.add(repository, "telling", TELLING, _TELLING_CONFIG)


def write_all(repository: Path) -> None:
    """A repository with all of them."""
    python_models.add(repository, "identity", IDENTITY)
    python_models.add(
        repository,
        "types",
        IDENTITY,
        config(
            inputs={f"IN_{name}": f"TYPE_{name}" for name in ALL_TYPES},
            outputs={f"OUT_{name}": f"TYPE_{name}" for name in ALL_TYPES},
        ),
    )
    write_telling(repository)
    python_models.add(repository, "sequence", TELLING, _TELLING_CONFIG + "sequence_batching {}")
    in_and_out = config(inputs={"IN": "TYPE_FP32"}, outputs={"OUT": "TYPE_FP32"})
    python_models.add(
        repository,
        "failing",
        FAILING,
        in_and_out + "dynamic_batching {} instance_group { count: 2 }",
    )
    python_models.add(repository, "repeating", REPEATING, in_and_out + DECOUPLED)
    python_models.add(repository, "endless", ENDLESS, in_and_out)
    python_models.add(repository, "patient", PATIENT)
    python_models.add(repository, "asking", ASKING)
    python_models.add(repository, "completing", COMPLETING, 'backend: "python"')
