"""The training network: the model's parameters, with the layers that only training needs."""

from itertools import pairwise

from charrnn.config import TrainingConfig
from charrnn.layers import Dropout, DropoutMasks, Embedding, LastStep
from charrnn.layers.projection import LookupEmbedding, lookup_is_faster
from charrnn.network import Network


def training_network(network: Network, config: TrainingConfig, masks: DropoutMasks) -> Network:
    """A network on the same parameters, with its own gradient, dropout, and the other layers that the config needs."""
    layers = list(network.layers)
    for first, second in pairwise(layers[:2]):
        if type(first) is Embedding and second.accepts_lookup and lookup_is_faster(first):
            layers[0] = LookupEmbedding(**vars(first))
    if config.dropout:
        recurrent = [i for i, layer in enumerate(layers) if layer.state_dims]
        for i in reversed(recurrent):
            layers.insert(i + 1, Dropout(layers[i].output_dim, config.dropout, masks, number=i))
    if config.targets == "last":
        # The last layer then works on one step, unless it needs all of them because it reads ids or has a state.
        alone = len(layers) > 1 and not layers[-1].state_dims
        layers.insert(len(layers) - alone, LastStep(layers[-1].input_dim if alone else layers[-1].output_dim))
    return Network(layers, network.parameters)
