"""Section 6: how the gates of all units are used, and how long units remember."""

from dataclasses import dataclass

import numpy as np

from charrnn.arrays import Array
from charrnn.inspection import HIGH, Reading, saturation, time_constants

KEEPS = ("update", "forget")  # the gates that say how much of a state is kept
MOST_LAYERS = 2  # told apart
MEANINGS = {  # of the gates that this project's layers have
    "reset": "How much of the previous state goes into the new value c. Open: all of it. Closed: none.",
    "update": "How much of its previous value a unit keeps: h = z · previous h + (1 − z) · c, where z is the gate. "
    "Open (z near 1), the unit remembers its value; closed (z near 0), it replaces it with c.",
    "input": "How much of the new value goes into the cell. Open: all of it. Closed: none.",
    "forget": "How much of the cell is kept. Open: the cell remembers. Closed: it forgets.",
    "output": "How much of the cell the rest of the network sees. Open: all of it. Closed: nothing.",
}


@dataclass(frozen=True)
class Gates:
    """The use of gates.

    Attributes
    ----------
    saturations
        By the name of a gate: the shares of characters (H,) at which each unit's is below 0.1, and above 0.9.
    memory
        Time constants in characters (H,), by layer.
    activity
        The share of characters (H,) at which each unit's state is beyond ±0.9, which matters without gates.
    """

    saturations: dict[str, tuple[Array, Array]]
    memory: dict[str, Array]
    activity: Array

    @property
    def all_memory(self) -> Array:
        """The time constants of all layers."""
        return np.concatenate([*self.memory.values(), []])


def gates(reading: Reading) -> Gates:
    """The gates of all layers."""
    by_name: dict[str, list[Array]] = {}
    for key, gate in reading.gates.items():
        by_name.setdefault(key.partition(".")[2], []).append(gate)
    saturations = {name: saturation(np.concatenate(of_layers, axis=1)) for name, of_layers in by_name.items()}
    keeping = [gate for name in KEEPS for gate in by_name.get(name, ())]
    memory = {f"layer {i}": time_constants(gate) for i, gate in enumerate(keeping, start=1)}
    if len(memory) > MOST_LAYERS:
        memory = {"all layers": np.concatenate(list(memory.values()))}
    states = [(np.abs(state) > HIGH).mean(axis=0) for state in reading.states.values()]
    return Gates(saturations, memory, np.concatenate([*states, []]))
