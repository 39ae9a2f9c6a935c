"""Training on several devices with PyTorch."""

import atexit
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta

import keras
import torch
import torch.distributed as dist

from keras_resnext.replicas import Replicas

WHOLE_GRADIENT = True
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


def synchronise(model: keras.Model) -> None:
    """Reduce gradients as `optimizer.apply` gets them.

    `DistributedDataParallel` does so while its own `forward` is differentiated, but `fit` calls the
    model within. The moving statistics travel along: as each step changes them linearly, their mean
    follows the mean of the replicas' statistics.
    """
    if not dist.is_initialized():
        return
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    _in_buckets(_values(model.variables + model.optimizer.variables), _take_the_chiefs)
    apply = model.optimizer.apply

    def apply_mean(gradients, variables=None):
        moving = (v for v in _values(model.non_trainable_variables) if v.is_floating_point())
        _in_buckets([*(g for g in gradients if g is not None), *moving], _take_the_mean)
        return apply(gradients, variables)

    model.optimizer.apply = apply_mean


def _values(variables: Iterable) -> Iterator[torch.Tensor]:
    return (variable.value.detach() for variable in variables)


def _take_the_chiefs(tensor):
    dist.broadcast(tensor, 0)


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


def tells_of_loss(error: Exception) -> bool:
    """NCCL's errors have a type of their own, Gloo's a path of its source."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)
