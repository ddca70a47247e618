"""XGBoost's models, as JSON and UBJSON: values of the JSON changed, and bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from tests.oracle.fuzz_files.door import Door, Files
from tests.oracle.fuzz_files.doors.model_answers import answer_of, close, features
from tests.oracle.fuzz_files.mutations import mutated_bytes
from tests.oracle.fuzz_files.structures import mutated_json


class XGBoostDoor(Door):
    """Registered, and called over a few rows with gaps."""

    def import_libraries(self) -> None:
        import xgboost  # noqa: F401

        import qtensor.connection
        import qtensor.lowering.models.trees.xgboost  # noqa: F401

    def make_seeds(self, folder: Path) -> None:
        import numpy as np
        import xgboost

        random = np.random.default_rng(0)
        x = random.normal(size=(80, 3))
        x[:, 2] = random.integers(0, 4, 80)
        y = x[:, 0] + (x[:, 2] == 2)
        kinds: dict[str, tuple[dict[str, Any], Any]] = {
            "regression": ({"objective": "reg:squarederror"}, y),
            "binary": ({"objective": "binary:logistic", "booster": "dart", "rate_drop": 0.5}, y > 0),
            "classes": ({"objective": "multi:softprob", "num_class": 3}, np.digitize(y, [0, 1])),
        }
        for name, (settings, label) in kinds.items():
            data = xgboost.DMatrix(x, label, feature_types=["q", "q", "c"], enable_categorical=True)
            booster = xgboost.train({"max_depth": 2, "seed": 1, "nthread": 1, **settings}, data, 2)
            for ending in ("json", "ubj"):
                (folder / f"{name}_{ending}").mkdir()
                booster.save_model(folder / f"{name}_{ending}" / f"model.{ending}")

    def mutated(self, random: Random, seed: Files, others: Sequence[Files]) -> Files:
        ((name, content),) = seed.items()
        if name.endswith("json") and random.random() < 0.8:
            return {name: mutated_json(random, content)}
        return {name: mutated_bytes(random, content, [one for other in others for one in other.values()])}

    def answer(self, folder: Path) -> object:
        return answer_of(next(folder.glob("model.*")), gaps=True)

    def expected(self, folder: Path) -> object:
        """What XGBoost itself computes."""
        import numpy as np
        import xgboost

        booster = xgboost.Booster(model_file=next(folder.glob("model.*")))
        booster.set_param({"nthread": 1})
        rows = features(booster.num_features(), gaps=True)
        found = booster.predict(xgboost.DMatrix(rows.astype(np.float32)), validate_features=False)
        return np.asarray(found, np.float64).reshape(len(rows), -1)

    def same(self, found: object, expected: object) -> bool:
        return close(found, expected)


DOOR = XGBoostDoor()
