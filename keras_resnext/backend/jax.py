"""JAX's own operations, devices and replicas; `keras_resnext.backend` says what each name is."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from mmap import ACCESS_READ, mmap
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxlib
import keras
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import PartitionSpec

from keras_resnext.backend import Replicas, of_libc
from keras_resnext.backend.lowering import Geometry

DEVICES: tuple[str, ...] = ("cpu", "gpu")
WHOLE_GRADIENT = True
CPU_BFLOAT16 = frozenset(("amx_bf16",))
HEARTBEAT_SECONDS = 30
SCHEDULER = "--xla_cpu_enable_concurrency_optimized_scheduler=false"


def convolution(x, kernel, geometry: Geometry):
    """`jax.lax.conv_general_dilated`."""
    layout = "NCHW" if geometry.channels_first else "NHWC"
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=geometry.strides,
        padding=geometry.padding.upper(),
        rhs_dilation=geometry.dilation,
        dimension_numbers=(layout, "HWIO", layout),
        feature_group_count=geometry.groups,
    )


def matmul(x, kernel):
    """In bfloat16 by YNNPACK's own kernels, four to eight times as fast as XLA by itself."""
    return _matmul_in_half(x, kernel) if x.dtype == jnp.bfloat16 else x @ kernel


@jax.custom_vjp
def _matmul_in_half(x, kernel):
    """Product as YNNPACK has it: into float32, of matrices as they lie in memory.

    XLA converts the matrices of all others to float32 first.
    """
    return _into_float32(x, kernel).astype(x.dtype)


def _matmul_forward(x, kernel):
    return _matmul_in_half(x, kernel), (x, kernel)


def _matmul_backward(kept, slope):
    x, kernel = kept
    of_x = _into_float32(slope, kernel, axis=1)
    if x.shape[1] < slope.shape[1]:
        of_kernel = _into_float32(_transposed(x), slope)
    else:
        of_kernel = jax.lax.optimization_barrier(_into_float32(_transposed(slope), x)).T
    return of_x.astype(x.dtype), of_kernel.astype(kernel.dtype)


_matmul_in_half.defvjp(_matmul_forward, _matmul_backward)


def _into_float32(x, y, axis: int = 0):
    dimensions = ((1,), (axis,)), ((), ())
    return jax.lax.dot_general(x, y, dimensions, preferred_element_type=jnp.float32)


def _transposed(x):
    """In memory, too: XLA would let the product go through the rows of x instead."""
    return jax.lax.optimization_barrier(x.T[..., None])[..., 0]


def by_device(x, kernel, ways: Mapping[str, Callable]):
    """All ways stay in one traced program; the platform it is lowered for picks.

    On several devices each convolves its own part of the batch: left to itself, XLA's partitioner
    gathers the whole batch for the gradient of a grouped kernel (openxla/xla#47945).
    """
    mesh, batch = _data_parallel(x)
    if mesh is not None:
        specs = {"in_specs": (batch, PartitionSpec()), "out_specs": batch}
        shared = {
            way: jax.shard_map(partial(_with_own_parameters, way, batch[0]), mesh=mesh, **specs)
            for way in ways.values()
        }
        ways = {device: shared[way] for device, way in ways.items()}
    if ways["cpu"] is ways["gpu"]:
        return ways["cpu"](x, kernel)
    return jax.lax.platform_dependent(x, kernel, cpu=ways["cpu"], default=ways["gpu"])


def _with_own_parameters(function, axis: str, x, *parameters):
    """A gradient that is written out differs from replica to replica, and so must its argument."""
    return function(x, *(jax.lax.pcast(each, axis, to="varying") for each in parameters))


def _data_parallel(x):
    """The mesh of Keras' data parallelism and the partition of a batch, or (None, None).

    A batch of a size that the devices cannot share, as Keras traces models with, stays whole.
    """
    distribution = keras.distribution.distribution()
    if not isinstance(distribution, keras.distribution.DataParallel):
        return None, None
    if x.shape[0] % distribution.num_model_replicas:
        return None, None
    return distribution.device_mesh.backend_mesh, PartitionSpec(distribution.batch_dim_name)


normalize = None  # compilers fuse Keras' own


def batch_normalize(x, gamma, beta, axis: int, epsilon: float, synchronized: bool = False):
    """One program computes all replicas, so synchronized statistics are those by nature.

    Replica by replica, each device normalizes its own part of the batch.
    """
    normalize = partial(_batch_normalize, axis=axis, epsilon=epsilon)
    mesh, batch = _data_parallel(x)
    if synchronized or mesh is None:
        return normalize(x, gamma, beta)

    def of_a_replica(x, *parameters):
        out, *statistics = _with_own_parameters(normalize, batch[0], x, *parameters)
        return out, *jax.lax.pmean(statistics, batch[0])

    whole = PartitionSpec()
    return jax.shard_map(
        of_a_replica, mesh=mesh, in_specs=(batch, whole, whole), out_specs=(batch, whole, whole)
    )(x, gamma, beta)


def _batch_normalize(x, gamma, beta, axis: int, epsilon: float):
    """On two dimensions where channels are last: XLA's CPU reduces four dimensions slower."""
    shape, channels = x.shape, x.shape[axis]
    x = x.reshape((-1, channels) if axis == x.ndim - 1 else (shape[0], channels, -1))
    out, mean, variance = _normalize(x, gamma, beta, epsilon)
    count = x.size // channels
    unbiased = variance * (count / max(count - 1, 1))
    return (
        out.reshape(shape),
        jax.lax.stop_gradient(mean),
        jax.lax.stop_gradient(unbiased),
    )


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _normalize(x, gamma, beta, epsilon: float):
    """Output, mean and variance of x (N, C) or (N, C, pixels).

    The gradient is written out: derived, it keeps an array of the size of x more, and takes half
    as long again.
    """
    return _normalize_forward(x, gamma, beta, epsilon)[0]


def _normalize_forward(x, gamma, beta, epsilon):
    mean = _wide(x).mean(_pixels(x))
    centered = _wide(x) - _row(mean, x)
    variance = jnp.square(centered).mean(_pixels(x))
    deviation = jax.lax.rsqrt(variance + epsilon)
    out = centered * _row(gamma * deviation, x) + _row(beta, x)
    return (out.astype(x.dtype), mean, variance), (x, mean, deviation, gamma)


def _normalize_backward(epsilon, kept, cotangents):
    x, mean, deviation, gamma = kept
    slope, centered = _wide(cotangents[0]), _wide(x) - _row(mean, x)
    of_beta = slope.sum(_pixels(x))
    of_gamma = (slope * centered).sum(_pixels(x)) * deviation
    share = mean.size / x.size  # of one pixel in the statistics
    through_mean = _row(of_beta * share, x)
    through_variance = centered * _row(of_gamma * deviation * share, x)
    of_x = _row(gamma * deviation, x) * (slope - through_mean - through_variance)
    return of_x.astype(x.dtype), of_gamma.astype(gamma.dtype), of_beta.astype(gamma.dtype)


_normalize.defvjp(_normalize_forward, _normalize_backward)


def _wide(x):
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _pixels(x):
    return (0, *range(2, x.ndim))


def _row(values, x):
    return values.reshape((1, -1) + (1,) * (x.ndim - 2))


def run_lean(model: keras.Model) -> None:
    """Compiled programs do."""


def recompute(function: Callable):
    """By a program that calls the function."""
    return jax.checkpoint(function)


def outputs_and_gradients(function: Callable):
    """Compiled once per shape; weights that `function` uses are constants of the program."""

    @jax.jit
    def run(cotangent, *tensors):
        outputs, pull_back = jax.vjp(function, *tensors)
        return outputs, list(pull_back(cotangent.astype(outputs.dtype)))

    return run


def begin_command() -> None:
    """Compute in the order of the least memory, in the same time.

    To keep freed memory does not pay: up to 2.5 times as much of it, for a tenth of the time.
    """
    _add_flag(SCHEDULER)
    jax.monitoring.register_event_duration_secs_listener(_give_back)


def _give_back(event: str, duration_secs: float, **_: str | int) -> None:
    """Return to the system what a compilation leaves free: a gigabyte for ResNeXt-50's step."""
    long = duration_secs > 1 and event.endswith("backend_compile_duration")
    if long and (trim := of_libc("malloc_trim")):
        trim(0)


def _add_flag(flag: str) -> None:
    """Set a flag that this XLA knows: it reads them when it first compiles, and ends the process
    over another.
    """
    name, flags = flag.strip("-").partition("=")[0], os.environ.get("XLA_FLAGS", "")
    for library in Path(jaxlib.__file__).parent.glob("*jax_common*"):
        with open(library, "rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            if name not in flags and content.find(name.encode()) >= 0:
                os.environ["XLA_FLAGS"] = f"{flags} {flag}".strip()


def accelerators() -> tuple[str, ...]:
    """Such as "cuda:0"."""
    return tuple(str(device) for device in jax.devices() if device.platform != "cpu")


def computes_bfloat16() -> bool:
    """From NVIDIA's compute capability 8 on."""
    capabilities = [getattr(device, "compute_capability", None) for device in jax.devices()]
    return all(float(found) >= 8 for found in capabilities if found)


def make_deterministic() -> None:
    """On a CPU it is deterministic anyway."""
    _add_flag("--xla_gpu_deterministic_ops=true")


def start(devices: int, distributed: bool) -> Replicas:
    """`keras.distribution.DataParallel` over the devices of all processes."""
    if distributed:
        _join()
    found = len(jax.local_devices())
    if devices > found:
        raise ValueError(f"devices: expected at most the {found} that JAX sees, got {devices}")
    if devices == jax.process_count() == 1:
        return Replicas()
    chosen = [
        f"{device.platform}:{device.id}"
        for index in range(jax.process_count())
        for device in jax.local_devices(process_index=index)[:devices]
    ]
    # Keras itself shards nothing but a tf.data.Dataset; each process brings its own part.
    distribution = keras.distribution.DataParallel(devices=chosen, auto_shard_dataset=False)
    return Replicas(len(chosen), jax.process_index(), jax.process_count(), distribution.scope)


def _join() -> None:
    """What `keras.distribution.initialize` does, by the same variables.

    Keras passes on no timeouts. JAX's own let the others wait 100 seconds for a process that died,
    and 300 for one that evaluates when they are done; one that lives is waited for here.
    """
    # It would take SIGTERM for itself, and Python could not put its handler back.
    jax.config.update("jax_enable_preemption_service", False)
    addresses = os.environ.get("KERAS_DISTRIBUTION_JOB_ADDRESSES")
    count, index = (
        int(value) if (value := os.environ.get(f"KERAS_DISTRIBUTION_{name}")) else None
        for name in ("NUM_PROCESSES", "PROCESS_ID")
    )
    try:
        jax.distributed.initialize(
            addresses.split(",")[0] if addresses else None,
            count,
            index,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=24 * 60 * 60,
        )
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"distributed: JAX found no other processes ({error}). Set "
            "KERAS_DISTRIBUTION_JOB_ADDRESSES (host:port of process 0), "
            "KERAS_DISTRIBUTION_NUM_PROCESSES and KERAS_DISTRIBUTION_PROCESS_ID in each process"
        ) from error


def synchronize(model: keras.Model) -> None:
    """One program computes the step of all replicas."""


def callbacks() -> list[keras.callbacks.Callback]:
    """None: its metrics are those of the whole batch."""
    return []


def largest(value: float) -> float:
    """In float32."""
    return float(multihost_utils.process_allgather(np.float32(value)).max())


def is_lost_process(error: Exception) -> bool:
    """Gloo's and NCCL's errors; where they say nothing, a missing heartbeat ends the process."""
    return any(word in str(error) for word in ("Gloo", "NCCL", "coordination service"))
