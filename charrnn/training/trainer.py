"""The training loop: mini-batch gradient descent with truncated backpropagation through time.

For each batch: compute the gradient of this worker's shard, sum it over all workers, clip it, decay the weights, and
take a step with the optimizer. Callbacks do everything else, such as checkpoints, progress and stopping.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from math import ceil, inf, isfinite

import numpy as np

from charrnn.arrays import Array, HiddenState
from charrnn.config import TrainingConfig
from charrnn.errors import DivergenceError, InputError
from charrnn.evaluation import evaluate
from charrnn.layers import DropoutMasks
from charrnn.messages import counted
from charrnn.network import Network
from charrnn.optimizers import Optimizer, clip_by_global_norm, create_optimizer, decay_weights
from charrnn.parallel.workers import ALONE, Workers
from charrnn.preprocessing import Batch, batches, require_text, stream_length, streams, windows
from charrnn.schedules import learning_rate
from charrnn.training.callbacks import Callback
from charrnn.training.network import training_network
from charrnn.training.resuming import require_resumable
from charrnn.training.shard import Shard
from charrnn.training.state import History, TrainingState, best_epoch


def train(
    network: Network,
    train_ids: Array,
    validation_ids: Array,
    config: TrainingConfig,
    *,
    rng: np.random.Generator,
    optimizer: Optimizer | None = None,
    workers: Workers = ALONE,
    callbacks: Sequence[Callback] = (),
    resume: TrainingState | None = None,
) -> History:
    """Train a network in place, evaluate it on the validation text after every epoch, and keep the best parameters.

    Parameters
    ----------
    train_ids, validation_ids
        (n,) ids in text order; may be memory maps.
    rng
        Shuffles the windows. A generator spawned from it seeds the dropout.
    optimizer
        Your own optimizer, instead of the one that the config describes. Its learning rate must be the config's.
    workers
        The group that this process belongs to. All of its workers call this function with the same arguments, except
        for callbacks, and return the same. With another number of workers, results differ by rounding.
    callbacks
        Called in this order. Each worker has its own.
    resume
        Continue from this state, which training then updates in place. All other arguments must be as before; only the
        number of workers may differ.

    Returns
    -------
    list of dict
        A row for each epoch: `epoch`, `train_loss` (the mean over the epoch while the weights were changing),
        `validation_loss` (both in nats per character; the validation text is read as `batch_size` parallel streams),
        `validation_accuracy`, `learning_rate` (of the last batch), `gradient_norm` (the mean before clipping).
        `best_epoch` finds the row of the parameters that are kept.

    Raises
    ------
    InputError
        If a text is too short, some ids are not integers in 0 … V-1, or `resume` is not a state of this run.
    DivergenceError
        As soon as a loss or a gradient is not finite. The network then has the parameters of the best epoch, if any.
    """
    require_texts(network, train_ids, validation_ids, config)
    text = _TrainingText(train_ids, config)
    optimizer = optimizer or create_optimizer(config)
    rate_at = partial(learning_rate, config=config, num_batches=config.num_epochs * text.num_batches)
    masks = DropoutMasks(seed=int(rng.spawn(1)[0].integers(2**63)))
    trainee = training_network(network, config, masks)
    shard, decayed = Shard(trainee, workers), network.weight_decay_mask()
    now = fresh_state(network, train_ids, config, rng=rng, optimizer=optimizer)
    if resume:
        require_resumable(resume, now, rng)
        now = resume
    rng.bit_generator.state = now.rng_state
    network.parameters[...] = now.parameters
    now.parameters = network.parameters
    started = time.perf_counter() - now.seconds

    try:
        while now.epoch <= config.num_epochs and not _out_of_patience(now.history, config.patience):
            for x, y in text.batches(rng, first=now.batch):
                masks.step = now.step + 1
                loss, state = shard.loss_and_gradient(x, y, now.hidden_state)
                figures = np.array([loss, any(callback.should_stop() for callback in callbacks)])
                workers.all_reduce(trainee.gradient, figures, *(_arrays(state) if config.carry_state else ()))
                loss, stop = figures.tolist()
                norm = clip_by_global_norm(trainee.gradient, config.clip_norm or inf)
                _require_finite(f"epoch {now.epoch}, batch {now.batch + 1}", loss, norm)
                rate = rate_at(now.step + 1)
                if config.weight_decay:
                    decay_weights(network.parameters, decayed, rate * config.weight_decay)
                if rate != optimizer.learning_rate:
                    optimizer = replace(optimizer, learning_rate=rate)
                optimizer.update(network.parameters, trainee.gradient, now.optimizer_state)
                now.finish_batch(loss, norm, x.size, state if config.carry_state else None)
                now.seconds = time.perf_counter() - started
                for callback in callbacks:
                    callback.on_batch(now, loss)
                for callback in callbacks if stop else ():
                    callback.on_stop(now)
            validation = evaluate(network, validation_ids, num_streams=config.batch_size, workers=workers)
            now.seconds = time.perf_counter() - started
            now.finish_epoch(_epoch_row(now, validation, rate_at(now.step)), rng.bit_generator.state)
            for callback in callbacks:
                callback.on_epoch(now)
    finally:
        if now.history:
            network.parameters[...] = now.best_parameters
    return now.history


def fresh_state(
    network: Network,
    train_ids: Array,
    config: TrainingConfig,
    *,
    rng: np.random.Generator,
    optimizer: Optimizer | None = None,
) -> TrainingState:
    """The state in which `train` begins, given the same arguments."""
    return TrainingState(
        parameters=network.parameters,
        best_parameters=network.parameters.copy(),
        optimizer_state=(optimizer or create_optimizer(config)).state(network.parameters),
        rng_state=rng.bit_generator.state,
        history=[],
        num_batches=_TrainingText(train_ids, config).num_batches,
        hidden_state=_zero_state(network, config, len(train_ids)) if config.carry_state else None,
    )


def _zero_state(network: Network, config: TrainingConfig, num_ids: int) -> HiddenState:
    """The hidden state before the first batch, for the layers of the training network."""
    B = min(config.batch_size, num_ids - 1)
    return [
        {name: np.zeros((B, H), network.dtype) for name, H in layer.state_dims.items()}
        for layer in training_network(network, config, DropoutMasks(seed=0)).layers
    ]


def require_texts(network: Network, train_ids: Array, validation_ids: Array, config: TrainingConfig) -> None:
    """Raise InputError unless the network knows all ids, and both texts are long enough for these settings."""
    require_text(train_ids, network.num_ids, "training text")
    require_text(validation_ids, network.num_ids, "validation text")
    if len(validation_ids) < 2:
        raise InputError(
            f"the validation text has {counted(len(validation_ids), 'character')}; it must have at least 2"
        )
    windows(train_ids, config.window_size, config.stride)


class _TrainingText:
    """The mini-batches of an epoch: shuffled windows, or, with carry_state, the text in order."""

    def __init__(self, ids: Array, config: TrainingConfig) -> None:
        self.ids, self.config = ids, config
        self.windows = windows(ids, config.window_size, config.stride)
        self.num_batches = ceil(len(self.windows) / config.batch_size)
        if config.carry_state:
            self.num_batches = ceil(stream_length(len(ids), config.batch_size) / config.window_size)

    def batches(self, rng: np.random.Generator, first: int) -> Iterator[Batch]:
        """The batches from number `first` on, counted from 0."""
        if self.config.carry_state:
            return streams(self.ids, self.config.batch_size, self.config.window_size, first)
        return batches(self.windows, self.config.batch_size, rng, first)


def _arrays(state: HiddenState) -> list[Array]:
    return [h for of_layer in state for h in of_layer.values()]


def _epoch_row(now: TrainingState, validation: dict[str, float], rate: float) -> dict[str, float]:
    mean_norm = now.total_norm / now.num_batches
    _require_finite(f"epoch {now.epoch}", validation["loss"], mean_norm)
    if not np.isfinite(now.parameters).all():  # for example of a character that the validation text lacks
        raise DivergenceError(f"training diverged in epoch {now.epoch}: some parameters are not finite")
    return {
        "epoch": now.epoch,
        "train_loss": now.total_loss / now.positions,
        "validation_loss": validation["loss"],
        "validation_accuracy": validation["accuracy"],
        "learning_rate": rate,
        "gradient_norm": mean_norm,
    }


def _out_of_patience(history: History, patience: int) -> bool:
    return bool(patience and history) and len(history) - best_epoch(history)["epoch"] >= patience


def _require_finite(when: str, loss: float, norm: float) -> None:
    if not (isfinite(loss) and isfinite(norm)):
        raise DivergenceError(
            f"training diverged in {when}: the loss is {loss} and the gradient's norm {norm}; "
            "try a lower learning_rate or a clip_norm between 0.1 and 5"
        )
