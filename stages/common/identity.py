"""Identify a training run, so that it resumes from its own checkpoint and no other."""

from collections.abc import Mapping
from typing import Any

from threadpoolctl import threadpool_info

from charrnn.config import Value
from charrnn.errors import InputError
from charrnn.parallel.workers import Workers
from stages.common.fingerprint import code_version
from stages.common.prepared import PreparedText


def identity(params: Mapping[str, Value], prepared: PreparedText, init_sha256: str | None) -> dict[str, Any]:
    """Hyperparameters, text, initial weights and code; the number of workers is left out, because it may change."""
    return {
        **{name: value for name, value in params.items() if name != "workers"},
        "text": dict(prepared.data),
        "vocabulary": prepared.vectorizer.vocabulary,
        "init_from": init_sha256,
        "code": code_version(),
    }


def require_same_run(group: Workers, run: Mapping[str, Any]) -> None:
    """Raise InputError unless this process of the group has the same run and kind of processor as rank 0.

    Each process updates its own parameters, so sums in another order would let them drift apart.
    """
    own = {**run, "kind of processor": sorted(pool.get("architecture", "") for pool in threadpool_info())}
    first = group.broadcast(own)
    differing = [name for name, value in own.items() if value != first[name]]
    if differing:
        raise InputError(f"worker {group.rank} differs from worker 0 in {', '.join(differing)}")
