"""The sampler: Optuna's tree-structured Parzen estimator, seeded anew for each trial."""

from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial


class NumberedSampler(BaseSampler):
    """A tree-structured Parzen estimator whose draws depend only on the seed, the trial's number, and finished trials.

    So a search that stopped between two trials resumes as if it had never stopped, and no two searches that share a
    study draw the same values.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.samplers: dict[int, TPESampler] = {}  # of the current trial, by its number

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        seed = int(np.random.SeedSequence((self.seed, trial.number)).generate_state(1)[0])
        self.samplers = {trial.number: TPESampler(seed=seed)}

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.samplers[trial.number].infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self.samplers[trial.number].sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.samplers[trial.number].sample_independent(study, trial, param_name, param_distribution)
