"""What takes turns: ours, the same network in plain Keras and in plain PyTorch, and exports.

Each builder takes a `turns.Task` and returns a function that takes one step and then as many more
as asked, and returns the seconds of those more: what happens once is not a step's time.
`python contestants.py NAME TASK` reads numbers of steps from standard input.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from runpy import run_path
from socket import socket
from time import perf_counter
from typing import Any

import numpy as np
from turns import LOWERINGS, MARK, Task

RUNTIMES = Path(__file__).parents[2] / "keras_resnext/inference/runtimes.py"
SGD = {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}
LARGE = 64  # pixels, from which on a network has ImageNet's stem and classes
Steps = Callable[[int], float]


def batch(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Images (B, size, size, 3) float32 and labels (B,) int32; what they show does not matter."""
    rng = np.random.default_rng(0)
    shape = (task.batch_size, task.image_size, task.image_size, 3)
    labels = rng.integers(0, classes(task), task.batch_size, np.int32)
    return rng.standard_normal(shape, np.float32), labels


def sizes(model: str) -> dict[str, Any]:
    """Arguments that a network's name stands for, such as "resnext50_32x4d"."""
    from keras_resnext.architecture import stage_blocks

    name, shape = model.split("_")
    cardinality, base_width = map(int, shape.removesuffix("d").split("x"))
    blocks = stage_blocks(name)
    return {"stage_blocks": blocks, "cardinality": cardinality, "base_width": base_width}


def classes(task: Task) -> int:
    """CIFAR-100's or ImageNet's."""
    return 1000 if task.image_size >= LARGE else 100


def keras_network(task: Task):
    """A ResNeXt of this package that returns logits."""
    import keras

    from keras_resnext import ResNeXt

    keras.config.set_dtype_policy(task.precision)
    return ResNeXt(
        **sizes(task.model),
        stem="imagenet" if task.image_size >= LARGE else "cifar",
        input_shape=(task.image_size, task.image_size, 3),
        classes=classes(task),
        classifier_activation=None,
    )


def keras_resnext(
    task: Task,
    plain: bool = False,
    rematerialized: bool = False,
    lowering: str | None = None,
    devices: int = 1,
    processes: int = 1,
) -> Steps:
    """`model.fit` or `predict`; plain: on Keras' own convolution and normalization.

    On a GPU the batches are there already, as in `pytorch`.
    """
    import keras

    from keras_resnext import GroupedConv2D, backend, blocks, rematerialize

    if plain:
        blocks.GroupedConv2D = keras.layers.Conv2D  # type: ignore[misc]
        blocks.BatchNorm = keras.layers.BatchNormalization  # type: ignore[misc]
    else:
        backend.native.begin_command()  # as `keras-resnext train` does
    with backend.native.start(devices, distributed=processes > 1).scope():
        model = keras_network(task)
        for layer in model.layers:
            if lowering and isinstance(layer, GroupedConv2D) and layer.groups > 1:
                layer.lowering = lowering
        if rematerialized:
            rematerialize(model)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(**SGD), loss)
        backend.native.synchronize(model)
    task = replace(task, batch_size=task.batch_size // processes)
    images, labels = batch(task)

    def run(steps: int) -> float:
        ends: list[float] = []

        def end(batch, logs):
            ends.append(perf_counter())

        clock = keras.callbacks.LambdaCallback(on_train_batch_end=end)
        clock.on_predict_batch_end = end
        options = {"callbacks": [clock], "verbose": 0}
        if backend.native.accelerators():
            tensors = tuple(map(keras.ops.convert_to_tensor, (images, labels)))
            if task.what == "train":
                again = (tensors for _ in range(steps + 1))
                model.fit(again, steps_per_epoch=steps + 1, shuffle=False, **options)
            else:
                model.predict((tensors[:1] for _ in range(steps + 1)), steps=steps + 1, **options)
            return ends[-1] - ends[0]
        many = np.tile(images, (steps + 1, 1, 1, 1))
        options["batch_size"] = task.batch_size
        if task.what == "train":
            model.fit(many, np.tile(labels, steps + 1), shuffle=False, **options)
        else:
            model.predict(many, **options)
        return ends[-1] - ends[0]

    return run


def on_two_devices(task: Task) -> Steps:
    """Ours on two parts of one CPU: virtual devices, or under PyTorch processes of one thread."""
    from keras_resnext import backend

    if backend.NAME == "torch":
        return _in_two_processes(task)
    if backend.NAME == "jax":
        import jax

        jax.config.update("jax_num_cpu_devices", 2)
    else:
        import tensorflow as tf

        parts = [tf.config.LogicalDeviceConfiguration()] * 2
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, parts)
    return keras_resnext(task, devices=2)


def _in_two_processes(task: Task) -> Steps:
    """The first starts the second, and passes on how many steps to take."""
    import torch

    torch.set_num_threads(1)
    if "RANK" in os.environ:
        return keras_resnext(task, processes=2)
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    there = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    second = subprocess.Popen(
        [sys.executable, *sys.argv],
        env=os.environ | there | {"RANK": "1", "LOCAL_RANK": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    os.environ |= there | {"RANK": "0", "LOCAL_RANK": "0"}
    steps = keras_resnext(task, processes=2)

    def run(count: int) -> float:
        assert second.stdin is not None
        second.stdin.write(f"{count}\n")
        second.stdin.flush()
        return steps(count)

    return run


def pytorch(task: Task, compiled: bool = False) -> Steps:
    """PyTorch in its faster memory format, channels_last; autocast for half precision."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    layout = torch.channels_last
    network = _pytorch_network(task)
    network.train(task.what == "train").to(device, memory_format=layout)  # type: ignore[call-overload]
    model = torch.compile(network) if compiled else network
    optimizer = torch.optim.SGD(
        network.parameters(), SGD["learning_rate"], SGD["momentum"], nesterov=True
    )
    images, labels = (torch.from_numpy(array).to(device) for array in batch(task))
    images, labels = images.permute(0, 3, 1, 2).contiguous(memory_format=layout), labels.long()
    half = {"mixed_bfloat16": torch.bfloat16, "mixed_float16": torch.float16}.get(task.precision)
    casts = torch.autocast(device, half) if half else nullcontext()

    def train() -> None:
        optimizer.zero_grad(set_to_none=True)
        with casts:
            logits = model(images)
        torch.nn.functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    def infer() -> None:
        with torch.inference_mode(), casts:
            model(images)

    finish = torch.cuda.synchronize if device == "cuda" else lambda: None
    return _timed(train if task.what == "train" else infer, finish)


def export_of_ours(task: Task, format: str) -> Steps:
    """Our export in its own runtime, from raw pixels to logits; without Keras, as it is served."""
    runtimes = run_path(str(RUNTIMES))
    with tempfile.TemporaryDirectory() as scratch:
        file = _apart(_export, task, format, scratch)
        run = runtimes["RUNTIMES"][file.name](file, True)
        pixels = _pixels(task, task.batch_size).astype(np.float32)
        request = {runtimes["DEFAULT"]: pixels}
        run(request)  # what it reads from the file, it has then
    return _timed(lambda: run(request))


def _apart(function: Callable, *arguments):
    """Call a function in a process of its own, whose memory is not what is measured."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _export(task: Task, format: str, scratch: str) -> Path:
    import keras_resnext
    from keras_resnext.export.formats import FORMATS
    from keras_resnext.preprocessing import whole_image

    dataset = None
    if FORMATS[format].int8:
        pixels = _pixels(task, 64)
        dataset = pixels, np.zeros(len(pixels), int)
    folder = keras_resnext.export(
        keras_network(task),
        Path(scratch) / "export",
        format,
        preprocessing=whole_image(task.image_size),
        dataset=dataset,
    )
    return folder / FORMATS[format].file


def export_by_pytorch(task: Task, runtime: str) -> Steps:
    """The network in plain PyTorch, exported by PyTorch, in ONNX Runtime or OpenVINO."""
    pixels = np.moveaxis(batch(task)[0], -1, 1).copy()
    with tempfile.TemporaryDirectory() as scratch:
        file = _apart(_export_pytorch, task, scratch)
        if runtime == "openvino":
            import openvino

            hint = {"INFERENCE_PRECISION_HINT": "f32"}
            compiled = openvino.Core().compile_model(file, "CPU", hint)
            return _timed(lambda: compiled([pixels]))
        import onnxruntime

        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return _timed(lambda: session.run(None, {"images": pixels}))


def _export_pytorch(task: Task, scratch: str) -> Path:
    import torch

    network = _pytorch_network(task).eval()
    images = torch.zeros(2, 3, task.image_size, task.image_size)
    axes = ({0: torch.export.Dim("batch")},)
    file = Path(scratch) / "model.onnx"
    torch.onnx.export(network, (images,), file, input_names=["images"], dynamic_shapes=axes)
    return file


def _pytorch_network(task: Task):
    from torch_network import ResNeXt

    large = task.image_size >= LARGE
    return ResNeXt(**sizes(task.model), classes=classes(task), large=large)


def _pixels(task: Task, count: int) -> np.ndarray:
    shape = (count, task.image_size, task.image_size, 3)
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def _timed(step: Callable[[], object], finish: Callable[[], object] = lambda: None) -> Steps:
    def run(steps: int) -> float:
        step()  # after the others' turn, caches are cold
        finish()
        start = perf_counter()
        for _ in range(steps):
            step()
        finish()
        return perf_counter() - start

    return run


def memory_mib() -> float:
    """The largest memory of this process so far: the GPU's, else resident, on Linux only, else 0.

    `resource.getrusage` would begin with what the process had that started this one.
    """
    torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
    if torch and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 2**20
    if jax and (found := jax.local_devices()[0].memory_stats()):
        return found["peak_bytes_in_use"] / 2**20
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0.0
    return int(status.partition("VmHWM:")[2].split()[0]) / 2**10


CONTESTANTS: dict[str, Callable[[Task], Steps]] = {
    "keras_resnext": keras_resnext,
    "keras_resnext, rematerialized": partial(keras_resnext, rematerialized=True),
    **{f"keras_resnext, {name}": partial(keras_resnext, lowering=name) for name in LOWERINGS},
    "keras_resnext, two devices": on_two_devices,
    "plain Keras": partial(keras_resnext, plain=True),
    "PyTorch": pytorch,
    "PyTorch, compiled": partial(pytorch, compiled=True),
    "SavedModel": partial(export_of_ours, format="saved_model"),
    "ONNX": partial(export_of_ours, format="onnx"),
    "ONNX int8": partial(export_of_ours, format="onnx-int8"),
    "OpenVINO": partial(export_of_ours, format="openvino"),
    "PyTorch's ONNX": partial(export_by_pytorch, runtime="onnx"),
    "PyTorch's ONNX in OpenVINO": partial(export_by_pytorch, runtime="openvino"),
}

if __name__ == "__main__":
    _, name, task = sys.argv
    take_steps = CONTESTANTS[name](Task(**json.loads(task)))
    for line in sys.stdin:
        begin = perf_counter()
        alone = take_steps(int(line))
        print(f"{MARK}{json.dumps([perf_counter() - begin, alone, memory_mib()])}", flush=True)
