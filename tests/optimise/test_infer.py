"""Where rules place the calls of models: the same rows on random plans."""

from __future__ import annotations

import random

import pytest

from qtensor.optimise import driver
from qtensor.optimise.driver import optimise
from qtensor.optimise.rewriting import map_plan
from qtensor.optimise.rule import GuidedRewriting
from qtensor.optimise.rules.infer_early import infer_early
from qtensor.optimise.rules.infer_once import infer_once
from qtensor.optimise.rules.models_last import models_last
from tests.optimise.comparing import RandomStatistics, assert_same_rows
from tests.optimise.random_plans import Plans

RULES = {
    "infer_early": infer_early,
    "infer_once": infer_once,
    "models_last": lambda plan, statistics: map_plan(plan, models_last),
}


@pytest.mark.parametrize("name", RULES)
def test_random_plans_keep_their_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rule: GuidedRewriting = RULES[name]
    monkeypatch.setattr("qtensor.optimise.rules.infer_early.FACTOR", 1)
    monkeypatch.setattr("qtensor.optimise.rules.infer_once.FACTOR", 1)
    monkeypatch.setattr("qtensor.optimise.driver.RULES", tuple(other for other in driver.RULES if other.name not in RULES))
    generator = random.Random(name)
    changed = 0
    for _ in range(400):
        plan = optimise(Plans(generator, models=True).query(depth=1, size=5), statistics=RandomStatistics(generator))
        new = rule(plan, RandomStatistics(generator))
        if new != plan:
            changed += 1
            assert new.schema == plan.schema
            assert_same_rows(plan, new, generator, rounds=3)
    assert changed > 20
