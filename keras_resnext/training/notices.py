"""What a user should know about a run's settings before it starts, without being wrong."""

from keras_resnext.training.settings import Settings


def notices(settings: Settings, before: Settings | None = None) -> list[str]:
    """Sentences to print.

    Args:
        settings: of the run.
        before: those that a resumed run had so far.
    """
    found = []
    if settings.base_batch_size is not None:
        images = settings.batch_size * settings.accumulate_steps
        if images != settings.base_batch_size:
            found.append(
                f"learning_rate: {settings.learning_rate:g} for {settings.base_batch_size} images "
                f"an update becomes {settings.peak_learning_rate:g} for {images}"
            )
    late = [epoch for epoch in settings.milestones if epoch >= settings.epochs]
    if settings.schedule == "piecewise" and late:
        found.append(
            f"milestones: {', '.join(map(str, late))} lie beyond the last of {settings.epochs} "
            "epochs and are never reached"
        )
    if before and before.epochs != settings.epochs and settings.schedule == "cosine":
        found.append(
            f"epochs: were {before.epochs}, now {settings.epochs}; the learning rate goes on along "
            "the cosine of the new number, so the run is not one that had it from the beginning"
        )
    return found
