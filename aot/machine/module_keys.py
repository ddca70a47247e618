"""Which program a module is, told from the plan without tracing it: the key of executables in memory and on disk."""

from __future__ import annotations

import hashlib
from itertools import accumulate

from qtensor.aot.machine.cache import environment_key
from qtensor.aot.machine.options import OPTIONS_KEY
from qtensor.lowering.ir.physical import PhysicalPlan
from qtensor.lowering.program.program import Shared, read_later
from qtensor.lowering.program.swept import Sweep


class ModuleKeys:
    """The keys of a plan's modules.

    A module depends on its pipelines, on the results it is given and those it hands on. All that is decided by the pipelines up
    to its last one, and by which of their results later ones read. So a plan that differs further on, as one with more room for
    a join does, shares the modules before.
    """

    def __init__(self, plan: PhysicalPlan, shared: Shared, sweep: Sweep | None = None) -> None:
        common = f"{environment_key()}\n{OPTIONS_KEY}\n{plan.models!r}\n{plan.checks}\n{shared!r}"
        if sweep is not None:
            common += f"\n{sweep!r}"
        parts = [common, *(repr(pipeline) for pipeline in plan.pipelines)]
        self._plan = plan
        self._digests = list(accumulate((digest_of(part) for part in parts), lambda before, part: digest_of(before + part)))

    def of(self, name: str, pipelines: range) -> str:
        """The key of one of the modules of a stage: `name` says which."""
        last = pipelines.stop == len(self._plan.pipelines)
        handed = [sorted(read_later(self._plan, number)) for number in (pipelines.start, pipelines.stop)]
        return digest_of(f"{name}\n{pipelines}\n{last}\n{handed}\n{self._digests[pipelines.stop]}")


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
