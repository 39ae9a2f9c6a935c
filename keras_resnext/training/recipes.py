"""Settings that work, by name, each with its source and what it reaches.

What a recipe does not name is a default of `Settings`: learning rate 0.1, multiplied by 0.1 at each
milestone; Nesterov momentum 0.9; weight decay 5e-4.
"""

from pathlib import Path

from keras_resnext.data import Augmentation
from keras_resnext.training.settings import (
    Data,
    Loss,
    Network,
    Optimizer,
    Schedule,
    Settings,
    option,
)

RECIPES: dict[str, Settings] = {
    # Ours: learns the demo set within minutes on two CPU cores, on every backend. The batch size
    # divides the set's 3600, 600 and 1200 images, so that JAX compiles one step only.
    "quickstart": Settings(
        data=Data(dataset="demo", batch_size=60),
        network=Network(model="resnext11"),
        schedule=Schedule(epochs=8, learning_rate=0.1, schedule="cosine", warmup_epochs=1.0),
        augmentation=Augmentation(crop_padding=2, flip=True),
    ),
    # Xie et al., arXiv 1611.05431, section 5.3: CIFAR-100 test error 17.77 % (mean of 10 runs).
    # Augmentation, Nesterov and coupled decay as in github.com/facebookresearch/ResNeXt. Its
    # train.lua lowers the learning rate a little before the epochs that the paper names:
    # `milestones=(147, 222)` is the code's schedule.
    "paper": Settings(
        data=Data(dataset="cifar100", batch_size=128),
        network=Network(model="resnext29", cardinality=8, base_width=64),
        schedule=Schedule(epochs=300, milestones=(300 // 2, 300 * 3 // 4)),
        augmentation=Augmentation(crop_padding=4, flip=True, padding_color="mean"),
    ),
    # Ours, for a GPU: CIFAR-100 test accuracy 79.5 %, the network in this package, `cifar100`
    # (results/README.md). It is `modern` without MixUp and CutMix, which in as many epochs brought
    # such a small network nothing: 79.1 %.
    "small": Settings(
        data=Data(dataset="cifar100", batch_size=128, drop_remainder=True),
        network=Network(model="resnext29", cardinality=8, base_width=8),
        schedule=Schedule(epochs=90, base_batch_size=128, schedule="cosine", warmup_epochs=2.25),
        optimizer=Optimizer(ema_decay=0.999),
        loss=Loss(label_smoothing=0.1),
        augmentation=Augmentation(crop_padding=4, flip=True, policy="trivialaugment", erasing=0.1),
    ),
    # Ours, for a machine without a GPU: CIFAR-100 test accuracy 71.2 and 71.4 % (two seeds) in an
    # hour and a half on two cores with bfloat16 (results/resnext20-8x8d). Images grow with the
    # epochs, since small ones cost less.
    "two-cores": Settings(
        data=Data(dataset="cifar100", batch_size=128, drop_remainder=True),
        network=Network(model="resnext20", cardinality=8, base_width=8),
        schedule=Schedule(epochs=20, learning_rate=0.2, schedule="cosine", warmup_epochs=2 / 3),
        optimizer=Optimizer(ema_decay=0.998),
        loss=Loss(label_smoothing=0.1),
        augmentation=Augmentation(
            crop_padding=4,
            flip=True,
            padding_color="mean",
            small_sizes=(16, 24),
            small_until=(7, 13),
        ),
    ),
    # github.com/weiaicunzai/pytorch-cifar100, resnext50: CIFAR-100 test error 22.23 %, the best
    # epoch's, chosen on the test set. It counts epochs from 1 and lowers the learning rate as
    # epochs 60, 120 and 160 begin, with 59, 119 and 159 finished. We differ in that a validation
    # split, held out of the training images, chooses the best epoch, and in that the flip comes
    # before the crop (the same images, as likely).
    "grouped1x1": Settings(
        data=Data(dataset="cifar100", batch_size=128),
        network=Network(model="resnext50", cardinality=32, base_width=4, reduce="grouped"),
        schedule=Schedule(
            epochs=200, milestones=(60 - 1, 120 - 1, 160 - 1), decay_factor=0.2, warmup_epochs=1.0
        ),
        optimizer=Optimizer(nesterov=False),
        augmentation=Augmentation(
            crop_padding=4, flip=True, rotation_degrees=15.0, padding_color="black"
        ),
    ),
    # Ours, from parts that are each published: cosine with warm-up, label smoothing (Szegedy et
    # al. 2016), MixUp (Zhang et al. 2018), CutMix (Yun et al. 2019), Random Erasing (Zhong et al.
    # 2020), TrivialAugment (Müller and Hutter 2021), averaged weights. Not run to its end yet.
    "modern": Settings(
        data=Data(dataset="cifar100", batch_size=128, drop_remainder=True),
        network=Network(model="resnext50", cardinality=32, base_width=4),
        schedule=Schedule(epochs=200, base_batch_size=128, schedule="cosine", warmup_epochs=5.0),
        optimizer=Optimizer(ema_decay=0.999),
        loss=Loss(label_smoothing=0.1),
        augmentation=Augmentation(
            crop_padding=4, flip=True, policy="trivialaugment", erasing=0.1, mixup=0.2, cutmix=1.0
        ),
    ),
    # Ours, for pretrained weights and a folder of the user's images (`data_dir`): first the
    # classifier, then everything, the backbone at a tenth of its rate. Batch normalization follows
    # the new images, as in torchvision's reference training: frozen, or with other rates, a small
    # network came out the same within the error (results/finetune). Crops hold 0.35 of an image or
    # more, not 0.08 as for ImageNet: in few epochs of few images, a label should fit what is left.
    "finetune": Settings(
        data=Data(dataset="folder", batch_size=32),
        network=Network(model="resnext50", weights="resnext50_32x4d.tv2_in1k"),
        schedule=Schedule(
            epochs=20,
            learning_rate=0.02,
            base_batch_size=32,
            schedule="cosine",
            warmup_epochs=1.0,
            frozen_epochs=2.0,
        ),
        optimizer=Optimizer(weight_decay=1e-4, backbone_rate=0.1),
        loss=Loss(label_smoothing=0.1),
        augmentation=Augmentation(flip=True, policy="trivialaugment", crop_scale=(0.35, 1.0)),
    ),
    # Xie et al., section 4 and github.com/facebookresearch/ResNeXt: ImageNet validation error
    # 22.2 % (one crop at 224). Its code also changes colors (brightness, contrast, saturation,
    # lighting), of which we have nothing; torchvision's first weights (77.618 %) did without.
    "imagenet": Settings(
        data=Data(dataset="imagenet", batch_size=256, drop_remainder=True),
        network=Network(model="resnext50", cardinality=32, base_width=4),
        schedule=Schedule(epochs=90, base_batch_size=256, milestones=(30, 60)),
        optimizer=Optimizer(weight_decay=1e-4),
        augmentation=Augmentation(flip=True, crop_scale=(0.08, 1.0)),
    ),
    # torchvision's newer recipe (pytorch/vision issue 3995): validation accuracy 81.198 %. Theirs
    # and not ours: no weight decay on batch normalization, each image four times per epoch
    # (repeated augmentation), averages every 32nd step, evaluation at 232. Images of 176 are made
    # from crops of 224, where theirs are cropped to 176 at once.
    "imagenet-modern": Settings(
        data=Data(dataset="imagenet", batch_size=1024, drop_remainder=True),
        network=Network(model="resnext50", cardinality=32, base_width=4),
        schedule=Schedule(
            epochs=600,
            learning_rate=0.5,
            base_batch_size=1024,
            schedule="cosine",
            warmup_epochs=5.0,
        ),
        # 0.99998, which theirs scales by batch and epochs to 0.9989 per 32 steps.
        optimizer=Optimizer(nesterov=False, weight_decay=2e-5, ema_decay=0.99997),
        loss=Loss(label_smoothing=0.1),
        augmentation=Augmentation(
            flip=True,
            policy="trivialaugment",
            padding_color="black",
            erasing=0.1,
            mixup=0.2,
            cutmix=1.0,
            crop_scale=(0.08, 1.0),
            small_sizes=(176,),
            small_until=(600,),
        ),
    ),
}


def recipe(name: str) -> Settings:
    """Settings by a recipe's name, or from a TOML file such as a run's `settings.toml`.

    Raises:
        ValueError: there is no such recipe, or the file does not hold settings.
    """
    if name in RECIPES:
        return RECIPES[name]
    if Path(name).suffix == ".toml":
        return Settings.from_file(name)
    raise ValueError(
        f"--recipe: must be one of {', '.join(RECIPES)}, or a settings file NAME.toml, got {name!r}"
    )


def shortened(settings: Settings, epochs: int) -> tuple[Settings, str]:
    """Settings for fewer epochs, with the phases of the training shorter in proportion.

    Where `epochs` are not fewer than the recipe's, or less than 1, the settings are returned as
    they are.

    Returns:
        The settings, and a sentence on what has become of the phases; "" if nothing has.
    """
    ratio = epochs / settings.schedule.epochs
    if not 0 < ratio < 1:
        return settings, ""
    values: dict = {"epochs": epochs}
    for name in ("warmup_epochs", "frozen_epochs"):
        values[name] = round(getattr(settings.schedule, name) * ratio, 6)
    ends = [max(1, round(epoch * ratio)) for epoch in settings.schedule.milestones]
    values["milestones"] = tuple(sorted({epoch for epoch in ends if epoch < epochs}))
    small = settings.augmentation
    ends = [max(1, round(epoch * ratio)) for epoch in small.small_until]
    phases = zip(ends, small.small_sizes, small.small_until, strict=True)
    last = settings.schedule.epochs
    sizes = {e: size for e, size, until in phases if e < epochs or until >= last}
    values |= {"small_until": tuple(sizes), "small_sizes": tuple(sizes.values())}
    before = settings.flat()
    changes = [_words(option(n), v) for n, v in values.items() if v != before[n]]
    sentence = f"{epochs} instead of {settings.schedule.epochs} epochs: {', '.join(changes[1:])}"
    return settings.change(**values), sentence if changes[1:] else ""


def _words(name: str, value) -> str:
    if isinstance(value, tuple):
        return " ".join([name, *map(str, value)]) if value else f"no {name}"
    return f"{name} {value:g}"
