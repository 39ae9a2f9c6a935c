"""PyTorch's own operations, devices and replicas; see `keras_resnext.backend`."""

import atexit
import gc
import os
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from functools import cache, partial

import keras
import torch
import torch.distributed as dist
from keras.src.backend.common.global_state import get_global_attribute
from keras.src.backend.common.masking import get_keras_mask
from keras.src.backend.common.variables import AutocastScope
from torch.utils.checkpoint import checkpoint

from keras_resnext.backend import Replicas, of_libc
from keras_resnext.backend.lowering import Geometry

DEVICES: tuple[str, ...] = ("cpu", "gpu")
MERGING = (keras.layers.Add, keras.layers.Multiply)  # whose masks are those of their inputs
LARGE = 2**25  # bytes, from which on glibc takes arrays from the system, one by one


def convolution(x, kernel, geometry: Geometry):
    """`conv2d` on a channels_last view of NHWC: Keras copies the input twice."""
    if not geometry.channels_first:
        x = x.permute(0, 3, 1, 2)
    padding: int | tuple[int, ...] = 0
    if geometry.padding == "same":
        x, padding = _same(x, geometry)
    out = torch.nn.functional.conv2d(
        x,
        kernel.permute(3, 2, 0, 1),
        stride=geometry.strides,
        padding=padding,
        dilation=geometry.dilation,
        groups=geometry.groups,
    )
    return out if geometry.channels_first else out.permute(0, 2, 3, 1)


def _same(x, geometry: Geometry):
    """TensorFlow's "same": the input, padded where before and after differ, and what is left."""
    before, after = [], []
    for size, kernel, stride, dilation in zip(
        x.shape[2:], geometry.kernel_size, geometry.strides, geometry.dilation, strict=True
    ):
        total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
        before.append(total // 2)
        after.append(total - total // 2)
    if before == after:
        return x, tuple(before)
    return torch.nn.functional.pad(x, (before[1], after[1], before[0], after[0])), 0


matmul = torch.matmul


def by_device(x, kernel, ways: Mapping[str, Callable]):
    """Where the input lies decides."""
    return ways["cpu" if x.device.type == "cpu" else "gpu"](x, kernel)


def batch_normalize(x, gamma, beta, axis: int, epsilon: float, synchronized: bool = False):
    """`batch_norm` on a channels_last view: half the time of Keras' elementwise steps on a CPU."""
    if synchronized and dist.is_initialized():
        return _batch_normalize_together(x, gamma, beta, axis, epsilon)
    if x.numel() == x.shape[axis]:  # PyTorch refuses it; twice the same has the same statistics
        out, *statistics = batch_normalize(torch.cat((x, x)), gamma, beta, axis, epsilon)
        return out[:1], *statistics
    mean, variance = torch.zeros_like(gamma), torch.zeros_like(gamma)
    # With momentum 1 the running statistics become the batch's own.
    out = torch.nn.functional.batch_norm(
        x.movedim(axis, 1), mean, variance, gamma, beta, training=True, momentum=1.0, eps=epsilon
    )
    return out.movedim(1, axis), mean, variance


def normalize(x, mean, variance, gamma, beta, axis: int, epsilon: float):
    """One pass over the images, where Keras takes three: a tenth of a network's inference."""
    out = torch.nn.functional.batch_norm(
        x.movedim(axis, 1), mean, variance, gamma, beta, training=False, eps=epsilon
    )
    return out.movedim(1, axis)


def _batch_normalize_together(x, gamma, beta, axis: int, epsilon: float):
    """By the statistics of all processes, whose parts of the batch are of one size.

    `torch.nn.SyncBatchNorm` works on GPUs only. The mean is agreed on before the deviations from
    it are squared, because the mean square less the squared mean would cancel.
    """
    others = [a for a in range(x.ndim) if a != axis]
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    mean = _MeanOfProcesses.apply(wide.mean(others, keepdim=True))
    deviation = wide - mean
    variance = _MeanOfProcesses.apply(deviation.square().mean(others, keepdim=True))
    gamma, beta = gamma.view(mean.shape), beta.view(mean.shape)
    out = deviation * (gamma * torch.rsqrt(variance + epsilon)) + beta
    count = x.numel() // x.shape[axis] * dist.get_world_size()
    unbiased = variance * (count / max(count - 1, 1))
    return out.to(x.dtype), mean.detach().flatten(), unbiased.detach().flatten()


class _MeanOfProcesses(torch.autograd.Function):
    """Mean over the processes, whose losses are averaged, too.

    `torch.distributed.nn.functional.all_reduce` is deprecated, and its successor private.
    """

    @staticmethod
    def forward(ctx, tensor):
        return _mean_of_processes(tensor)

    @staticmethod
    def backward(ctx, gradient):
        return _mean_of_processes(gradient)


def _mean_of_processes(tensor):
    mean = tensor.clone(memory_format=torch.contiguous_format)
    _take_the_mean(mean)
    return mean


def run_lean(model: keras.Model) -> None:
    """Let a functional model drop each tensor once nothing needs it: Keras keeps all to the end.

    Prediction then takes a third of the memory or less, and training somewhat less. And of a layer
    run `call` alone, where all else that Keras does around it would change nothing: it takes 0.2 ms
    a layer, for which a GPU waits.
    """
    depths = model._nodes_by_depth
    nodes = [n for depth in sorted(depths, reverse=True) for n in depths[depth] if not n.is_input]
    last_use = {id(tensor): node for node in nodes for tensor in node.input_tensors}
    last_use |= {id(tensor): None for tensor in model.outputs}

    def run(self, inputs, operation_fn=lambda operation: operation, call_fn=None):
        found = dict(zip(map(id, self.inputs), keras.tree.flatten(inputs), strict=True))
        context = get_global_attribute("current_call_ctx")
        training = context and context.get_value("training")
        for node in nodes:
            tensors = [found[id(tensor)] for tensor in node.input_tensors]
            if context and call_fn is None and _needs_call_alone(node, tensors):
                outputs = _call_alone(node, tensors, training)
                found[id(node.outputs[0])] = outputs
            else:
                args, kwargs = node.arguments.fill_in(found)
                operation = operation_fn(node.operation)
                outputs = (call_fn or type(operation).__call__)(operation, *args, **kwargs)
                found |= zip(map(id, node.outputs), keras.tree.flatten(outputs), strict=True)
                del args, kwargs
            del tensors, outputs
            for tensor in node.input_tensors:
                if last_use[id(tensor)] is node:
                    found.pop(id(tensor), None)
        outputs = [found[id(tensor)] for tensor in self.outputs]
        return keras.tree.pack_sequence_as(self._outputs_struct, outputs)

    model._run_through_graph = types.MethodType(run, model)


def _needs_call_alone(node, tensors: list) -> bool:
    """Whether Keras only casts around a layer's `call`."""
    layer, arguments = node.operation, node.arguments
    kind, merges = type(layer), isinstance(layer, MERGING)
    return (
        kind.__call__ is keras.Layer.__call__
        and not isinstance(layer, keras.Model)
        and (merges or kind.compute_mask is keras.Layer.compute_mask)
        and type(layer.dtype_policy) is keras.DTypePolicy
        and layer.activity_regularizer is None
        and layer._remat_mode is None
        and layer.built
        and len(arguments.args) == len(node.outputs) == 1
        and (merges or isinstance(arguments.args[0], keras.KerasTensor))
        and all(value is None for value in arguments.kwargs.values())
        and all(torch.is_tensor(t) and get_keras_mask(t) is None for t in tensors)
    )


def _call_alone(node, tensors: list[torch.Tensor], training: bool | None):
    layer = node.operation
    dtype = layer.compute_dtype if layer.autocast else None
    if dtype:
        wanted = getattr(torch, dtype)
        tensors = [t.to(wanted) if t.is_floating_point() else t for t in tensors]
    argument = tensors if isinstance(layer, MERGING) else tensors[0]
    with AutocastScope(dtype):
        if layer._call_has_context_arg.get("training"):
            return layer.call(argument, training=training)
        return layer.call(argument)


def recompute(function: Callable):
    """By `torch.utils.checkpoint`; from here on, freed memory is given back, in commands too.

    It would stop by an exception as soon as it has what it needs; that, and the functions of
    `keras.tree`, leave circles of references that hold tensors until they are collected.
    """
    _tune_malloc(mmap_max=65536, trim_threshold=LARGE, mmap_threshold=LARGE)

    def collected(*tensors):
        gc.collect(1)
        return function(*tensors)

    return partial(checkpoint, collected, use_reentrant=False, early_stop=False)


def outputs_and_gradients(function: Callable):
    """Those of the tensors alone: none is left behind in the weights that `function` uses."""

    def run(cotangent, *tensors):
        inputs = [tensor.detach().requires_grad_() for tensor in tensors]
        outputs = function(*inputs)
        gradients = torch.autograd.grad(outputs, inputs, cotangent.to(outputs))
        return outputs.detach(), list(gradients)

    return run


def begin_command() -> None:
    """Keep freed memory: a step on a CPU takes up to half of its time to get it back, zeroed.

    glibc, whose options these are, returns whatever is larger than 32 MiB to the system at once.
    """
    _tune_malloc(arena_max=1, mmap_max=0, trim_threshold=-1)


@cache
def _tune_malloc(**options: int) -> None:
    numbers = {"trim_threshold": -1, "mmap_threshold": -3, "mmap_max": -4, "arena_max": -8}
    if mallopt := of_libc("mallopt"):
        for name, value in options.items():
            mallopt(numbers[name], value)


def accelerators() -> tuple[str, ...]:
    """Such as "cuda:0"."""
    found = torch.accelerator.current_accelerator()
    if found is None:
        return ()
    return tuple(f"{found.type}:{index}" for index in range(torch.accelerator.device_count()))


def computes_bfloat16() -> bool:
    """From NVIDIA's compute capability 8 on."""
    return not torch.cuda.is_available() or torch.cuda.is_bf16_supported(including_emulation=False)


def make_deterministic() -> None:
    """Operations that cannot be raise an error. cuBLAS asks for a workspace of a fixed size."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False


WHOLE_GRADIENT = True
CPU_BFLOAT16 = frozenset(("avx512_bf16", "amx_bf16"))
# Longer than the chief takes for what the others wait for: a checkpoint.
TIMEOUT = timedelta(minutes=10)
BUCKET_BYTES = 25 * 2**20  # DistributedDataParallel's


def start(devices: int, distributed: bool) -> Replicas:
    """One device a process; torchrun starts the processes and tells them of each other."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if devices > 1:
        raise ValueError(
            f"devices: PyTorch trains on one a process, got {devices}. Type: torchrun "
            f"--nproc-per-node {devices} scripts/train.py --distributed ..."
        )
    if not distributed:
        if count > 1:
            raise ValueError(
                f"distributed: this is one of {count} processes (WORLD_SIZE), and each would train "
                "a network of its own, also within DistributedDataParallel, which fit passes by. "
                "Add --distributed"
            )
        return Replicas()
    if "RANK" not in os.environ:
        raise ValueError(
            "distributed: this process was not started by torchrun. Type: torchrun "
            "--nproc-per-node N scripts/train.py --distributed ..., N being the GPUs of this host"
        )
    _choose_device()
    dist.init_process_group(timeout=TIMEOUT)
    atexit.register(dist.destroy_process_group)
    return Replicas(count, dist.get_rank(), count)


def _choose_device() -> None:
    if not torch.accelerator.is_available():
        return
    local, found = int(os.environ["LOCAL_RANK"]), torch.accelerator.device_count()
    if local >= found:
        raise ValueError(
            f"distributed: this host has {found} accelerators and at least {local + 1} processes; "
            f"type: torchrun --nproc-per-node {found} ..."
        )
    torch.accelerator.set_device_index(local)


def synchronize(model: keras.Model) -> None:
    """Reduce gradients as `optimizer.apply` gets them.

    `DistributedDataParallel` does so while its own `forward` is differentiated, but `fit` calls the
    model within. The moving statistics travel along: as each step changes them linearly, their mean
    follows the mean of the replicas' statistics.
    """
    if not dist.is_initialized():
        return
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    values = _values(model.variables + model.optimizer.variables)
    _in_buckets(values, lambda tensor: dist.broadcast(tensor, 0))
    apply = model.optimizer.apply

    def apply_mean(gradients, variables=None):
        moving = (v for v in _values(model.non_trainable_variables) if v.is_floating_point())
        _in_buckets([*(g for g in gradients if g is not None), *moving], _take_the_mean)
        return apply(gradients, variables)

    model.optimizer.apply = apply_mean


def _values(variables: Iterable) -> Iterator[torch.Tensor]:
    return (variable.value.detach() for variable in variables)


def _take_the_mean(tensor):
    dist.all_reduce(tensor)  # gloo knows no mean
    tensor /= dist.get_world_size()


def _in_buckets(tensors: Iterable[torch.Tensor], communicate: Callable) -> None:
    """Change tensors in place, many in one message: each message costs a round trip."""
    for bucket in _buckets(tensors):
        flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
        communicate(flat)
        parts = flat.split([tensor.numel() for tensor in bucket])
        for tensor, part in zip(bucket, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))


def _buckets(tensors: Iterable[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Of one dtype each, up to about `BUCKET_BYTES`."""
    begun: dict[torch.dtype, list[torch.Tensor]] = {}
    for tensor in tensors:
        bucket = begun.setdefault(tensor.dtype, [])
        bucket.append(tensor)
        if sum(t.nbytes for t in bucket) >= BUCKET_BYTES:
            yield begun.pop(tensor.dtype)
    yield from begun.values()


def callbacks() -> list[keras.callbacks.Callback]:
    """One: each process computes metrics of its own part."""
    return [_TotalMetrics()] if dist.is_initialized() else []


class _TotalMetrics(keras.callbacks.Callback):
    """Add up the steps of all processes in the running loss and metrics, which are sums."""

    def on_train_batch_begin(self, batch, logs=None):
        self._before = [value.clone() for value in _values(self.model.metrics_variables)]

    def on_train_batch_end(self, batch, logs=None):
        values = list(_values(self.model.metrics_variables))
        for value, before in zip(values, self._before, strict=True):
            value -= before
        _in_buckets(values, dist.all_reduce)
        for value, before in zip(values, self._before, strict=True):
            value += before
        for name, result in self.model.get_metrics_result().items():
            logs[name] = float(result)

    on_test_batch_begin = on_train_batch_begin
    on_test_batch_end = on_train_batch_end


def largest(value: float) -> float:
    """Over gloo, which waits for no GPU."""
    tensor = torch.tensor(value, dtype=torch.float64, device="cpu")
    dist.all_reduce(tensor, dist.ReduceOp.MAX)
    return tensor.item()


def is_lost_process(error: Exception) -> bool:
    """NCCL's errors have a type of their own, Gloo's a path of its source."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)
