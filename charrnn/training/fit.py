"""Train with several processes on this machine: start the others, and train as rank 0."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from charrnn.arrays import Array
from charrnn.config import TrainingConfig
from charrnn.layers import Layer
from charrnn.network import Network
from charrnn.optimizers import Optimizer
from charrnn.parallel.processes import start_workers
from charrnn.parallel.workers import Workers
from charrnn.training.callbacks import Callback
from charrnn.training.state import History, TrainingState
from charrnn.training.trainer import require_texts, train


def fit(
    network: Network,
    train_ids: Array,
    validation_ids: Array,
    config: TrainingConfig,
    *,
    rng: np.random.Generator,
    optimizer: Optimizer | None = None,
    callbacks: Sequence[Callback] = (),
    resume: TrainingState | None = None,
) -> History:
    """Call `charrnn.training.train` in `config.workers` processes. This one is rank 0 and has the callbacks.

    The others end when this function returns or raises.

    Raises
    ------
    InputError
        If a text is too short or has ids that the network does not know, or if there are several workers and a layer
        or the optimizer is not from a module.
    DivergenceError
        As soon as a loss or a gradient is not finite.
    WorkerError
        If one of the processes died.
    """
    require_texts(network, train_ids, validation_ids, config)  # before any worker starts
    arguments = (train_ids, validation_ids, config)
    shared: dict[str, Any] = dict(rng=rng, optimizer=optimizer, resume=resume)
    replica = partial(_train_replica, network.layers, network.parameters, arguments, shared)
    with start_workers(config.workers, _message_bytes(network, config), replica) as workers:
        return train(network, *arguments, **shared, workers=workers, callbacks=callbacks)


def _train_replica(
    layers: Sequence[Layer], parameters: Array, arguments: tuple[Any, ...], shared: dict[str, Any], workers: Workers
) -> None:
    train(Network(layers, parameters), *arguments, **shared, workers=workers)


def _message_bytes(network: Network, config: TrainingConfig) -> int:
    """Size of the largest message: gradient, loss, stop flag and carried state."""
    states = sum(H for layer in network.layers for H in layer.state_dims.values()) if config.carry_state else 0
    return 8 * 3 + (len(network.parameters) + states * config.batch_size) * network.dtype.itemsize
