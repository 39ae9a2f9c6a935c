"""The one way data reaches `fit`, `evaluate` and `predict`, on every backend."""

import copy
import math
import multiprocessing
import os
import signal
from collections import deque
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from threading import Thread

import keras
import numpy as np

from keras_resnext.data.augmentation import (
    Augmentation,
    Draws,
    augment,
    crop_and_resize,
    draw,
    draw_blend,
    mix,
    reduce_size,
)
from keras_resnext.data.dataset import Dataset, Split
from keras_resnext.data.decoding import ImageFiles, pool, read
from keras_resnext.files import check_positive

# Bytes of pixels worked on at a time. Intermediate arrays then stay in the cache and in memory that
# malloc keeps: a whole batch at a time takes three times as long, nearly all of it in page faults.
CHUNK = 16 * 32 * 32 * 3
PREFETCHED = 2  # batches by each worker


class Batches(keras.utils.PyDataset):
    """Normalized, shuffled and augmented batches of a split, prepared ahead of training.

    A batch is a pure function of (seed, epoch, index): all backends see the same batches, and a
    run resumed at epoch k after `set_epoch(k)` sees those it would have seen. `fit` advances the
    epoch; before a further `fit` on the same object call `set_epoch`, since a recompiled model
    makes Keras look at the data once more.

    Call `fit(..., shuffle=False)`: its default shuffles the batches once more, by Python's global
    generator, and is refused. Leave `steps_per_epoch` alone: Keras then carries a half-used
    iterator, and with it batches of the past epoch, into the next.

    Args:
        split: the samples.
        dataset: gives mean and standard deviation, and the number of classes.
        batch_size: samples per batch, 1 or more, of all shards together; the last may be smaller.
        shuffle: a new order every epoch.
        augmentation: what may happen to an image.
        one_hot: labels are one-hot, as they always are where images are mixed.
        drop_remainder: leave out a smaller last batch.
        shard: (index, count): give the index-th of count equal parts of each batch only, in order.
            Together the parts are the batch that (0, 1) gives, bit by bit.
        seed: of order and augmentation, 0 or more.
        workers: batches prepared at the same time; 0 prepares each when asked.
        use_multiprocessing: workers are processes, not threads. Python's lock lets threads work on
            one core but for decoding: 7,000 images of 32 pixels per second under TrivialAugment,
            which is enough for a CPU. Each process holds a copy of the split, and imports the
            script that runs, which must begin under `if __name__ == "__main__":`.

    Raises:
        ValueError: `batch_size` is below 1, there is no such shard, no batch to give, or a batch
            does not make equal parts.
    """

    def __init__(
        self,
        split: Split,
        dataset: Dataset,
        *,
        batch_size: int,
        shuffle: bool = False,
        augmentation: Augmentation | None = None,
        one_hot: bool = False,
        drop_remainder: bool = False,
        shard: tuple[int, int] = (0, 1),
        seed: int = 0,
        workers: int = 2,
        use_multiprocessing: bool = False,
    ):
        # Keras' own worker threads hand batches drawn for shape inference out again, so stay off.
        super().__init__(workers=1)
        check_positive(batch_size=batch_size)
        part, parts = shard
        if not 0 <= part < parts:
            raise ValueError(f"shard: expected (index, count), index below count, got {shard!r}")
        whole, rest = divmod(len(split), batch_size)
        self._length = whole + bool(rest and not drop_remainder)
        if not self._length:
            raise ValueError(
                f"split: {len(split)} samples make no batch of {batch_size}; "
                "lower batch_size or set drop_remainder=False"
            )
        if batch_size % parts or (rest % parts and not drop_remainder):
            raise ValueError(
                f"batch_size: batches of {batch_size} samples, the last of {rest or batch_size}, "
                f"do not make {parts} equal parts each; choose another, or drop_remainder=True"
            )
        self._split = split
        self._preprocessing = dataset.preprocessing
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._augmentation = augmentation or Augmentation()
        self._mixes = self._augmentation.mixes
        self._classes = dataset.num_classes if one_hot or self._mixes else None
        self._shard = shard
        self._seed = seed
        self._channels_first = keras.config.image_data_format() == "channels_first"
        self._pool: Executor | None = None
        self._prefetched = PREFETCHED * workers
        self._ahead: dict[tuple[int, int], Future] = {}
        self._drawn: set[int] = set()
        self._epoch = self._first_step = 0
        self._pass_begun = False
        self._fit_begun = False
        if workers and use_multiprocessing:
            # Forked from a process with threads, such as the backend's, a worker might hang.
            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(workers, spawn, _begin_worker, (copy.copy(self),))
        elif workers:
            self._pool = ThreadPoolExecutor(workers, "batches")

    def __len__(self):
        return self._length - self._first_step

    def set_epoch(self, epoch: int) -> None:
        """Make `batches[i]` belong to `epoch`. Call it between passes, not within one."""
        self._epoch = epoch

    def from_step(self, epoch: int, step: int) -> "Batches":
        """Return the batches of `epoch` from `step` on: the rest of an interrupted epoch."""
        rest = copy.copy(self)
        rest._epoch, rest._first_step, rest._drawn = epoch, step, set()
        return rest

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what `batch` does, and have workers prepare the batches after it."""
        if self._pass_begun and index and index - 1 not in self._drawn:
            raise ValueError(
                "shuffle: fit draws the batches in an order of its own, which differs from run to "
                "run; expected fit(..., shuffle=False). Batches(shuffle=True) shuffles the samples"
            )
        self._drawn.add(index)
        epoch, index = self._epoch, self._first_step + index
        try:
            return self._prepared(epoch, index)
        except BrokenProcessPool as error:
            raise RuntimeError(
                "use_multiprocessing: the system ended a process that prepares batches, most "
                "likely for want of memory; give fewer workers, which each hold the training split"
            ) from error

    def _prepared(self, epoch: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        if self._pool is None:
            return self.batch(epoch, index)
        ready = self._ahead.pop((epoch, index), None)
        wanted = range(index + 1, min(index + 1 + self._prefetched, self._length))
        in_processes = isinstance(self._pool, ProcessPoolExecutor)
        kept, prepare = {}, _prepare if in_processes else self.batch
        for key in ((epoch, i) for i in wanted):
            kept[key] = self._ahead.get(key) or self._pool.submit(prepare, *key)
        self._ahead = kept
        return ready.result() if ready else self.batch(epoch, index)

    def batch(self, epoch: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Compute one batch, a pure function of (seed, epoch, index).

        Returns:
            Images, float32, normalized, (B, H, W, 3) or (B, 3, H, W), and labels, int32 (B,), or
            float32 (B, classes) where one-hot. Channels-first images are a transposed view:
            PyTorch takes it as channels_last memory, without a copy.
        """
        if not 0 <= index < self._length:
            raise IndexError(f"index: expected 0 to {self._length - 1}, got {index}")
        first, augmentation = index * self._batch_size, self._augmentation
        count = min(self._batch_size, len(self._split) - first)
        rows = self._rows(count)
        samples = first + rows
        if self._shuffle:
            samples = _permutation(self._seed, epoch, len(self._split))[samples]
        # Drawn for the whole batch, so that no image depends on how many parts there are.
        rng = np.random.default_rng([self._seed, epoch, 1 + index])
        height, width = self._split.images.shape[1:3]
        draws = draw(augmentation, count, height, width, rng).take(rows)
        images = self._images(samples, draws)
        labels = self._split.labels_of(samples)
        if self._classes is not None:
            labels = keras.utils.to_categorical(labels, self._classes).astype(np.float32)
        if self._mixes:
            images, labels = mix(images, labels, *draw_blend(augmentation, height, width, rng))
        if size := augmentation.size_in(epoch):
            images = reduce_size(images, size)
        return (images.transpose(0, 3, 1, 2) if self._channels_first else images), labels

    def _images(self, samples: np.ndarray, draws: Draws) -> np.ndarray:
        source, how, augmentation = self._split.images, self._preprocessing, self._augmentation

        def work(start: int) -> None:
            def crop(image, i):
                return crop_and_resize(image, augmentation, draws.crops[start + i], how)

            part = slice(start, start + chunk)
            pixels = read(source, samples[part], crop if augmentation.crop_scale else None)
            augment(pixels, augmentation, draws.take(part), how.mean, how.std, images[part])

        images = np.empty((len(samples), *source.shape[1:]), np.float32)
        chunk = max(1, CHUNK // math.prod(source.shape[1:]))
        run = pool().map if isinstance(source, ImageFiles) else map
        deque(run(work, range(0, len(samples), chunk)), maxlen=0)
        return images

    def _rows(self, count):
        """Which of a batch's `count` samples are needed: its shard, after the first's neighbor."""
        part, parts = self._shard
        share = count // parts
        start = part * share
        return np.arange(start - self._mixes, start + share) % count

    def on_epoch_begin(self):
        """Note that Keras begins a pass over the data."""
        self._pass_begun = True

    def on_epoch_end(self):
        """Advance the epoch, but for the first call: Keras makes one before the first epoch."""
        if self._fit_begun and self._pass_begun:
            self._epoch += 1
        self._fit_begun = True
        self._pass_begun = False


@lru_cache(2)
def _permutation(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch, 0]).permutation(count)


_of_this_process: Batches


def _begin_worker(batches: Batches) -> None:
    """Get what this process prepares, once; leave signals to its parent, and end with it."""
    global _of_this_process
    _of_this_process = batches
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
    os._exit(0)


def _prepare(epoch: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    return _of_this_process.batch(epoch, index)


class SharedEvaluation(keras.utils.PyDataset):
    """The part of a process, `shard` (index, count), of each batch of an evaluation.

    Where the replicas, devices of all processes together, cannot share a batch equally, it is
    filled up with samples of weight zero. Keras divides a batch's loss by its size and weights it
    by that again; so the others weigh as much more as there are more. Metrics must be weighted.
    """

    def __init__(self, batches: Batches, replicas: int, shard: tuple[int, int] = (0, 1)):
        super().__init__()
        self._batches = batches
        self._replicas = replicas
        self._shard = shard
        samples = len(batches._split)
        self._weight = (samples + -samples % replicas) / samples

    def __len__(self):
        return len(self._batches)

    def __getitem__(self, index):
        images, labels = self._batches[index]
        missing = -len(images) % self._replicas
        weights = np.pad(np.full(len(images), self._weight, np.float32), (0, missing))
        images, labels = (
            np.concatenate([array, np.resize(array, (missing, *array.shape[1:]))])
            for array in (images, labels)
        )
        part, parts = self._shard
        size = len(images) // parts
        own = slice(part * size, (part + 1) * size)
        return images[own], labels[own], weights[own]
