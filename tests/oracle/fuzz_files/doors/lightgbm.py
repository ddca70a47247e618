"""LightGBM's models: lines of their text changed, and bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from tests.oracle.fuzz_files.door import Door, Files
from tests.oracle.fuzz_files.doors.model_answers import answer_of, close, features
from tests.oracle.fuzz_files.mutations import NUMBERS, mutated_bytes

FILE = "model.txt"
WORDS = (*map(str, NUMBERS), "nan", "inf", "-inf", "1e308", "0.5", "", "x", "-0")


class LightGBMDoor(Door):
    """Registered, and called over a few rows with gaps."""

    def import_libraries(self) -> None:
        import lightgbm  # noqa: F401

        import qtensor.connection
        import qtensor.lowering.models.trees.lightgbm  # noqa: F401

    def make_seeds(self, folder: Path) -> None:
        import lightgbm
        import numpy as np

        random = np.random.default_rng(0)
        x = random.normal(size=(120, 3))
        x[:, 2] = random.integers(0, 4, 120)
        y = x[:, 0] + (x[:, 2] == 2)
        kinds: dict[str, tuple[dict[str, Any], Any]] = {
            "regression": ({"objective": "regression"}, y),
            "binary": ({"objective": "binary"}, y > 0),
            "classes": ({"objective": "multiclass", "num_class": 3}, np.digitize(y, [0, 1])),
        }
        for name, (settings, label) in kinds.items():
            data = lightgbm.Dataset(x, label, categorical_feature=[2])
            wanted = {"num_leaves": 4, "min_data_in_leaf": 2, "verbose": -1, "num_threads": 1, "seed": 1, **settings}
            (folder / name).mkdir()
            lightgbm.train(wanted, data, 2).save_model(folder / name / FILE)

    def mutated(self, random: Random, seed: Files, others: Sequence[Files]) -> Files:
        content = seed[FILE]
        if random.random() < 0.2:
            return {FILE: mutated_bytes(random, content, [other[FILE] for other in others])}
        lines = content.decode().split("\n")
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            change_line(random, lines)
        return {FILE: "\n".join(lines).encode()}

    def answer(self, folder: Path) -> object:
        return answer_of(folder / FILE, gaps=True)

    def expected(self, folder: Path) -> object:
        """What LightGBM itself computes."""
        import lightgbm
        import numpy as np

        booster = lightgbm.Booster(model_file=str(folder / FILE), params={"num_threads": 1})
        rows = features(booster.num_feature(), gaps=True)
        return np.asarray(booster.predict(rows, num_threads=1), np.float64).reshape(len(rows), -1)

    def same(self, found: object, expected: object) -> bool:
        return close(found, expected)


def change_line(random: Random, lines: list[str]) -> None:
    """One line is lost, doubled, moved or changed in one word."""
    place = random.randrange(len(lines))
    kind = random.random()
    if kind < 0.08:
        lines.pop(place) if len(lines) > 1 else None
    elif kind < 0.14:
        lines.insert(place, random.choice(lines))
    else:
        key, equals, values = lines[place].partition("=")
        words = values.split(" ")
        chosen = random.randrange(len(words))
        change = random.random()
        if change < 0.1:
            words.pop(chosen)
        elif change < 0.2:
            words.insert(chosen, random.choice(words))
        else:
            words[chosen] = random.choice((*WORDS, *words))
        lines[place] = key + equals + " ".join(words)


DOOR = LightGBMDoor()
