"""XGBoost's and LightGBM's models beside the libraries: float32 sums equal to the last digit, where nothing comes after them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pytest
import xgboost as xgb
from numpy.typing import NDArray

import qtensor
from qtensor.errors import ModelError
from qtensor.lowering.models.kinds import imported_model
from qtensor.lowering.models.trees.ensemble import single
from qtensor.lowering.models.trees.layout import Bits, Walk, described, laid_out
from qtensor.lowering.models.trees.lightgbm import ensemble_of_lightgbm
from qtensor.lowering.models.trees.ubjson import read_ubjson
from qtensor.lowering.models.trees.xgboost import ensemble_of_xgboost
from qtensor.lowering.program.work import inner_jaxprs
from tests.models.oracle import columns_of, extreme_rows, run

WIDTH = 6  # the last feature is a category


def table(rows: int, seed: int) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, WIDTH)).astype(np.float32)
    values[random.random(values.shape) < 0.1] = np.nan
    values[:, 5] = random.integers(0, 40, rows)
    return values


X = table(1_000, 0)
Y = np.nan_to_num(X[:, 0] * X[:, 1] + np.sin(3 * X[:, 2]) + X[:, 3] * (X[:, 4] > 0) + X[:, 5] % 3)
THREE = np.digitize(Y, [0, 1.5])
# Rows of the training data, whose numbers are thresholds; extremes, of which XGBoost takes no infinities; strange categories.
NEW = np.concatenate([X[:200], np.where(np.isinf(odd := extreme_rows(300, WIDTH)), np.nan, odd)])
NEW[200:, 5] = np.random.default_rng(5).integers(-3, 60, 300)
NEW[200:210, 5] = np.nan
NEW[210:220, 5] = [-0.5, 0.5, 7.9, 39, 40, 1e6, 3e9, -1e9, 2.999, -1]

FEW: dict[str, Any] = {"n_estimators": 12, "n_jobs": 1}
LIGHT: dict[str, Any] = {**FEW, "verbose": -1, "min_child_samples": 3, "num_leaves": 6}


def found_of(model: object, output: str | None = None) -> NDArray[Any]:
    return run(imported_model("m", model, output=output), *columns_of(NEW))


def assert_close(found: NDArray[Any], expected: Any, tolerance: float = 1e-6) -> None:
    np.testing.assert_allclose(found, np.asarray(expected, np.float64).reshape(found.shape), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("depth", [1, 4, 6, 11])
def test_xgboost_regressors_to_the_last_digit(depth: int) -> None:
    model = xgb.XGBRegressor(max_depth=depth, **FEW).fit(X, Y)
    np.testing.assert_array_equal(found_of(model), model.predict(NEW))


XGBOOST = {
    "poisson": xgb.XGBRegressor(objective="count:poisson", **FEW),
    "gamma": xgb.XGBRegressor(objective="reg:gamma", **FEW),
    "logistic": xgb.XGBRegressor(objective="reg:logistic", **FEW),
    "absolute": xgb.XGBRegressor(objective="reg:absoluteerror", **FEW),
    "dart": xgb.XGBRegressor(booster="dart", rate_drop=0.3, **FEW),
    "forest": xgb.XGBRFRegressor(**FEW),
    "categories": xgb.XGBRegressor(enable_categorical=True, feature_types=["q"] * 5 + ["c"], max_cat_to_onehot=4, **FEW),
}


@pytest.mark.parametrize("model", XGBOOST.values(), ids=list(XGBOOST))
def test_xgboost_objectives(model: Any) -> None:
    target = (Y > 0) * 1.0 if model.objective == "reg:logistic" else np.abs(Y) + 0.1
    model.fit(X, target)
    assert_close(found_of(model), model.predict(NEW), 2e-6)
    np.testing.assert_allclose(found_of(model, "raw"), model.predict(NEW, output_margin=True), rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("classes", [Y > 1, THREE], ids=["two", "three"])
def test_xgboost_classifiers(classes: NDArray[Any]) -> None:
    model = xgb.XGBClassifier(max_depth=3, **FEW).fit(X, classes * 1)
    np.testing.assert_array_equal(found_of(model), model.predict(NEW))
    assert_close(found_of(model, "scores"), model.predict_proba(NEW))
    np.testing.assert_array_equal(found_of(model, "raw"), model.predict(NEW, output_margin=True))
    booster = model.get_booster()
    assert_close(found_of(booster), booster.predict(xgb.DMatrix(NEW)))


def test_xgboost_stops_early() -> None:
    model = xgb.XGBRegressor(n_estimators=60, learning_rate=0.5, early_stopping_rounds=4)
    model.fit(X[:700], Y[:700], eval_set=[(X[700:], Y[700:])], verbose=False)
    assert model.best_iteration < 55
    np.testing.assert_array_equal(found_of(model), model.predict(NEW))


@pytest.mark.parametrize("ending", ["json", "ubj"])
def test_xgboost_files(ending: str, tmp_path: Path) -> None:
    model = xgb.XGBRegressor(max_depth=4, **FEW).fit(X, Y)
    model.get_booster().feature_names = ["a", "b", "c", "d", "e", "f"]
    model.save_model(tmp_path / f"model.{ending}")
    taken = imported_model("m", tmp_path / f"model.{ending}")
    assert [one.name for one in taken.inputs] == ["a", "b", "c", "d", "e", "f"]
    np.testing.assert_array_equal(
        run(taken, *columns_of(NEW)), model.get_booster().predict(xgb.DMatrix(NEW, feature_names=list("abcdef")))
    )


@pytest.mark.parametrize("leaves", [2, 8, 31, 90])
def test_lightgbm_regressors_to_the_last_digit(leaves: int) -> None:
    model = lgb.LGBMRegressor(**{**LIGHT, "num_leaves": leaves}).fit(X, Y)
    np.testing.assert_array_equal(found_of(model), model.predict(NEW))


LIGHTGBM = {
    "nothing missing": lgb.LGBMRegressor(use_missing=False, **LIGHT),
    "zero missing": lgb.LGBMRegressor(zero_as_missing=True, **LIGHT),
    "categories": lgb.LGBMRegressor(min_data_per_group=2, cat_smooth=0, max_cat_to_onehot=2, **LIGHT),
    "forest": lgb.LGBMRegressor(boosting_type="rf", bagging_freq=1, bagging_fraction=0.5, **LIGHT),
    "dart": lgb.LGBMRegressor(boosting_type="dart", **LIGHT),
    "tweedie": lgb.LGBMRegressor(objective="tweedie", **LIGHT),
    "square roots": lgb.LGBMRegressor(reg_sqrt=True, **LIGHT),
    "quantile": lgb.LGBMRegressor(objective="quantile", **LIGHT),
    "cross entropy": lgb.LGBMRegressor(objective="cross_entropy", **LIGHT),
    "log of entropy": lgb.LGBMRegressor(objective="cross_entropy_lambda", **LIGHT),
}


@pytest.mark.parametrize("model", LIGHTGBM.values(), ids=list(LIGHTGBM))
def test_lightgbm_objectives(model: Any) -> None:
    target = np.clip(Y, 0, 1) if "entropy" in str(model.objective) else np.abs(Y)
    rows = np.where(X > 1.5, 0, X) if model.get_params().get("zero_as_missing") else X
    model.fit(rows, target, categorical_feature=[5] if "max_cat_to_onehot" in model.get_params() else [])
    assert_close(found_of(model), model.predict(NEW), 1e-12)


@pytest.mark.parametrize("objective", ["multiclass", "multiclassova", "binary"])
def test_lightgbm_classifiers(objective: str) -> None:
    classes = np.where(Y > 1, 7, 3) if objective == "binary" else THREE
    model = lgb.LGBMClassifier(objective=objective, **LIGHT).fit(X, classes)
    np.testing.assert_array_equal(found_of(model), model.predict(NEW))
    assert_close(found_of(model, "scores"), model.predict_proba(NEW), 1e-12)
    np.testing.assert_array_equal(found_of(model, "raw"), model.predict(NEW, raw_score=True))


def test_lightgbm_files(tmp_path: Path) -> None:
    model = lgb.LGBMRegressor(**LIGHT).fit(X, Y)
    model.booster_.save_model(tmp_path / "model.txt")
    np.testing.assert_array_equal(found_of(tmp_path / "model.txt"), model.predict(NEW))


def test_infinities_go_as_in_lightgbm() -> None:
    model = lgb.LGBMRegressor(**LIGHT).fit(X, Y)
    rows = extreme_rows(400, WIDTH, 3)
    np.testing.assert_array_equal(run(imported_model("m", model), *columns_of(rows)), model.predict(rows))


def test_small_trees_are_bits_and_large_ones_are_walked() -> None:
    def layout(ensemble: Any) -> Walk | Bits:
        return laid_out(*described(ensemble))

    light = ensemble_of_lightgbm("m", lgb.LGBMRegressor(**LIGHT).fit(X, Y))[0]
    deep = ensemble_of_xgboost("m", xgb.XGBRegressor(max_depth=9, **FEW).fit(X, Y))[0]
    assert isinstance(layout(light), Bits)
    walk = layout(deep)
    assert isinstance(walk, Walk)
    assert walk.threshold is None  # beside a float32 there is room for a node's links


def test_retraining_compiles_nothing() -> None:
    models = [
        imported_model("m", xgb.XGBRegressor(n_estimators=40, max_depth=6, random_state=seed, subsample=0.7).fit(X, Y))
        for seed in (1, 2)
    ]
    assert models[0].digest == models[1].digest
    shapes = [[weight.shape for weight in model.weights] for model in models]
    assert shapes[0] == shapes[1]
    assert any(not np.array_equal(one, other) for one, other in zip(*(model.weights for model in models), strict=True))


def gathers_in_loops(jaxpr: Any) -> list[int]:
    """How many gathers each innermost loop has."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "while":
            body = equation.params["body_jaxpr"].jaxpr
            found += gathers_in_loops(body) or [str(body).count("= gather[")]
        else:
            found += [count for inner in inner_jaxprs(equation.params.values()) for count in gathers_in_loops(inner)]
    return found


def test_a_walk_is_a_loop_of_two_gathers() -> None:
    """What a level of a walk costs: a node, and a feature of each row."""
    model = imported_model("m", xgb.XGBRegressor(n_estimators=9, max_depth=9).fit(X, Y))
    with jax.enable_x64(True):
        traced = jax.make_jaxpr(model.apply)(model.weights, [np.zeros(64, np.float32)] * WIDTH)
    assert gathers_in_loops(traced.jaxpr) == [2]


def test_thresholds_of_float32() -> None:
    """Comparing float32 numbers with a float64 threshold is comparing them with the float32 at or below it."""
    random = np.random.default_rng(0)
    numbers = random.normal(size=4_000).astype(np.float32)
    thresholds = np.concatenate(
        [numbers[:1000].astype(np.float64), random.normal(size=1000), [1e300, -1e300, np.inf, -np.inf, 3.4028235e38]]
    )
    near = np.nextafter(numbers, np.float32(np.inf))
    for rows in (numbers[: len(thresholds)], near[: len(thresholds)], single(thresholds)):
        np.testing.assert_array_equal(rows <= single(thresholds), rows.astype(np.float64) <= thresholds)


def test_damaged_trees_are_refused(tmp_path: Path) -> None:
    model = xgb.XGBRegressor(n_estimators=2, max_depth=2).fit(X, Y)
    document = json.loads(model.get_booster().save_raw("json"))
    tree = document["learner"]["gradient_booster"]["model"]["trees"][0]

    def refused(change: dict[str, Any], match: str) -> None:
        kept = {key: list(tree[key]) for key in change}
        tree.update(change)
        (tmp_path / "m.json").write_text(json.dumps(document))
        tree.update(kept)
        with pytest.raises(ModelError, match=match):
            imported_model("m", tmp_path / "m.json")

    left = tree["left_children"]
    refused({"left_children": [0, *left[1:]]}, "no tree")
    refused({"left_children": [10**6, *left[1:]]}, "no tree")
    refused({"left_children": [2**40, *left[1:]]}, "no model as XGBoost writes it")
    refused({"right_children": left}, "no tree")
    refused({"split_indices": [77, *tree["split_indices"][1:]]}, "feature that the model does not have")
    refused({"split_conditions": [float("nan"), *tree["split_conditions"][1:]]}, "NaN")
    refused({"default_left": [1]}, "no model as XGBoost|lack a part|shape")
    refused({"default_left": [-1, *tree["default_left"][1:]]}, "out of range")
    refused({"split_type": [1, *tree["split_type"][1:]]}, "test categories do not say which")
    refused({"right_children": [0.5, *tree["right_children"][1:]]}, "a list of whole numbers")
    document["learner"]["learner_model_param"]["num_feature"] = "99999999999"
    refused({}, "features; at most")
    for content in (
        "{}",
        "[]",
        "{",
        '{"learner": 5}',
        '{"learner": {"gradient_booster": {"name": "gblinear"}, "learner_model_param": {}}}',
    ):
        (tmp_path / "m.json").write_text(content)
        with pytest.raises(ModelError):
            imported_model("m", tmp_path / "m.json")


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    """Cut and changed bytes: a ModelError, or a model."""
    random = np.random.default_rng(0)
    small = {"n_estimators": 2, "max_depth": 2}
    texts = {
        "m.ubj": bytes(xgb.XGBRegressor(**small).fit(X, Y).get_booster().save_raw("ubj")),
        "m.txt": lgb.LGBMRegressor(**small, verbose=-1).fit(X, Y).booster_.model_to_string().encode(),
    }
    refused = 0
    for name, content in texts.items():
        for number in range(60):
            damaged = bytearray(content[: random.integers(1, len(content))] if number % 2 else content)
            for place in random.integers(0, len(damaged), 3):
                damaged[place] = random.integers(0, 256)
            (tmp_path / name).write_bytes(damaged)
            try:
                imported_model("m", tmp_path / name, output="raw")
            except ModelError:
                refused += 1
    assert refused > 60


def test_ubjson() -> None:
    assert read_ubjson(b"{i\x01a[TFZN]}") == {"a": [True, False, None]}
    found = read_ubjson(b"[$l#i\x02\x00\x00\x00\x01\xff\xff\xff\xff")
    assert found.tolist() == [1, -1]
    assert read_ubjson(b"[#i\x02Si\x02hiD\x3f\xf0\x00\x00\x00\x00\x00\x00") == ["hi", 1.0]
    for damaged in (
        b"[" * 500,
        b"[$l#l\x7f\xff\xff\xff",
        b"{i\x01a",
        b"x",
        b"Si\xffa",
        b"[$T#l\x7f\xff\xff\xff",
        b"[#l\x7f\xff\xff\xffT",
    ):
        with pytest.raises(ValueError, match="it "):
            read_ubjson(damaged)


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="gblinear"):
        imported_model(
            "m", xgb.XGBRegressor(booster="gblinear", n_estimators=2, updater="coord_descent").fit(np.nan_to_num(X), Y)
        )
    with pytest.raises(ModelError, match="linear_tree"):
        imported_model("m", lgb.LGBMRegressor(linear_tree=True, **LIGHT).fit(X, Y))
    with pytest.raises(ModelError, match="not fitted"):
        imported_model("m", xgb.XGBRegressor())
    with pytest.raises(ModelError, match="not fitted"):
        imported_model("m", lgb.LGBMRegressor())
    model = xgb.XGBRegressor(n_estimators=2).fit(X, Y)
    with pytest.raises(ModelError, match='no output "klass"'):
        imported_model("m", model, output="klass")
    with pytest.raises(ModelError, match="leave out dtype="):
        imported_model("m", model, dtype="float32")
    with pytest.raises(ModelError, match="takes 6 columns"):
        imported_model("m", model, arguments=5)
    (tmp_path / "m.joblib").write_bytes(b"")
    with pytest.raises(ModelError, match=r"pickles run code"):
        imported_model("m", tmp_path / "m.joblib")


def test_in_queries(tmp_path: Path) -> None:
    """NULL gives NULL, names are those of the features, blocks of rows, and an artifact that needs no XGBoost."""
    model = xgb.XGBClassifier(max_depth=8, **FEW).fit(X, THREE)
    model.get_booster().feature_names = list("abcdef")
    rows = np.resize(NEW, (5_000, WIDTH))
    with qtensor.connect() as connection:
        connection.register("t", pa.table(dict(zip("abcdef", columns_of(rows), strict=True))))
        connection.create_function("m", model)
        named = "m(b := b, a := a, c := c, d := d, e := e, f := f)"
        counts = np.bincount(model.predict(rows[rows[:, 0] > 0]), minlength=3)
        query = f"SELECT {named} AS label, count(*) AS n FROM t WHERE a > 0 AND NOT isnan(a) GROUP BY label ORDER BY label"
        assert connection.sql(query).fetchall() == list(enumerate(counts.tolist()))
        assert connection.sql("SELECT m(NULL::FLOAT, b, c, d, e, f) FROM t LIMIT 1").fetchall() == [(None,)]
        connection.sql("SELECT m(a, b, c, d, e, f) AS c FROM t").export(tmp_path / "m.qta")
    np.savez(tmp_path / "rows.npz", rows=rows, expected=model.predict(rows))
    program = f"""
import sys
for name in ("xgboost", "sklearn", "lightgbm", "tensorflow"):
    sys.modules[name] = None
import numpy as np, pyarrow as pa, qtensor
kept = np.load({str(tmp_path / "rows.npz")!r})
table = pa.table(dict(zip("abcdef", map(np.ascontiguousarray, kept["rows"].T))))
found = qtensor.load({str(tmp_path / "m.qta")!r})(t=table)
assert (found["c"].to_numpy() == kept["expected"]).all()
"""
    stranger = {**os.environ, "QTENSOR_TRUST": str(tmp_path)}  # whose program must be on the whitelist
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120, env=stranger)
