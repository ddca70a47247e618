"""scikit-learn's encoders, imputers and vectorizers of texts, in queries over columns of texts, beside scikit-learn itself."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from sklearn import compose, ensemble, feature_extraction, impute, linear_model, pipeline, preprocessing

import qtensor
from qtensor.errors import BindError, ExecutionError, ModelError
from qtensor.lowering.models.kinds import imported_model
from qtensor.lowering.models.model import TEXT
from qtensor.lowering.models.text.evaluate import evaluate

pd = pytest.importorskip("pandas")

NAMES = ["country", "age", "kind", "fee"]
GAPS = {"country": 4, "kind": 7, "fee": 3}


def frame(rows: int, seed: int, *extra: str) -> Any:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "country": random.choice(["de", "fr", "us", "Ünï", *extra], rows),
            "age": random.normal(40, 10, rows),
            "kind": random.choice(["a", "b", "c", *extra], rows, p=None if extra else [0.6, 0.3, 0.1]),
            "fee": random.normal(size=rows),
        }
    )


def with_gaps(whole: Any) -> Any:
    found = whole.copy()
    for name, step in GAPS.items():
        found.loc[::step, name] = None
    return found


TRAIN, NEW = frame(300, 1), frame(200, 2, "zz", "")
Y = (TRAIN["age"] > 40).astype(int) + (TRAIN["country"] == "de")
ENCODERS = [
    preprocessing.OneHotEncoder(handle_unknown="ignore"),
    preprocessing.OneHotEncoder(handle_unknown="ignore", drop="first"),
    preprocessing.OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=60),
    preprocessing.OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=2, drop="first"),
    preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
    preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, max_categories=2),
    preprocessing.TargetEncoder(),
]
IMPUTERS = [{"strategy": "most_frequent"}, {"strategy": "constant", "fill_value": "none"}, {"strategy": "constant"}]
DOCUMENTS = [
    "The cat sat on the mat",
    "a dog, a cat and the Mouse!",
    "über Straße naïve x",
    "",
    "mat mat mat dog",
    "İstanbul dog_2 42",
]
VECTORIZERS = [
    feature_extraction.text.CountVectorizer(),
    feature_extraction.text.CountVectorizer(binary=True, lowercase=False, token_pattern=r"(?u)\b\w+\b"),
    feature_extraction.text.TfidfVectorizer(ngram_range=(1, 2), stop_words="english", sublinear_tf=True),
    feature_extraction.text.TfidfVectorizer(norm="l1", use_idf=False),
]


def behind(encoder: Any) -> Any:
    columns = compose.make_column_transformer((encoder, ["country", "kind"]), (impute.SimpleImputer(), ["fee", "age"]))
    return pipeline.make_pipeline(columns, linear_model.LogisticRegression(max_iter=2000))


def scores_in_query(model: Any, rows: Any, names: list[str], null: object = None) -> NDArray[Any]:
    with qtensor.connect() as connection:
        connection.register("t", rows)
        connection.create_function("m", model, output="proba", null=null)
        found = connection.sql(f"SELECT m({', '.join(names)}) AS scores FROM t").fetchall()
    return np.array([row[0] for row in found])


def scores_of(model: Any, rows: Any) -> NDArray[Any]:
    """What the model's function gives for a frame, whose texts are made codes and tables here, as the engine does."""
    taken = imported_model("m", model, output="proba")
    columns: list[NDArray[Any]] = []
    tables = []
    programs = {program.argument: program for program in taken.texts}
    for position, one in enumerate(taken.inputs):
        column = rows[one.name]
        if taken.arguments[position] != TEXT:
            columns.append(column.to_numpy(np.float64))
            continue
        encoded = pa.array(column.fillna(taken.missing), pa.large_string()).dictionary_encode()
        columns.append(encoded.indices.to_numpy().astype(np.int32))
        tables += [table.reshape(-1) for table in evaluate(programs[position], encoded.dictionary)]
    with jax.enable_x64(True):
        prediction = jax.jit(taken.apply)((*taken.weights, *tables), columns)
    assert prediction.failed is None or not prediction.failed.any()
    return np.asarray(prediction.result).T


def assert_scores(model: Any, rows: Any) -> None:
    expected = model.predict_proba(rows)
    assert len(np.unique(expected.round(6), axis=0)) > 2
    np.testing.assert_allclose(scores_of(model, rows), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize(
    ("encoder", "dtype"),
    [*((encoder, "object") for encoder in ENCODERS), (ENCODERS[0], "category"), (ENCODERS[-1], "str")],
    ids=[*(f"{type(one).__name__}-{number}" for number, one in enumerate(ENCODERS)), "of categories", "of str"],
)
def test_encoders(encoder: Any, dtype: str) -> None:
    model = behind(encoder).fit(TRAIN.astype({"country": dtype, "kind": dtype}), Y)
    assert_scores(model, NEW)


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize("how", IMPUTERS, ids=str)
def test_what_is_missing_is_filled_in(how: dict[str, str]) -> None:
    encoder = pipeline.make_pipeline(impute.SimpleImputer(**how), preprocessing.OneHotEncoder(handle_unknown="ignore"))
    assert_scores(behind(encoder).fit(with_gaps(TRAIN), Y), with_gaps(NEW))


@pytest.mark.filterwarnings("ignore:Found unknown categories")
def test_what_is_missing_is_a_category() -> None:
    model = behind(ENCODERS[0]).fit(with_gaps(TRAIN), Y)
    assert_scores(model, with_gaps(NEW))
    expected = model.predict_proba(with_gaps(NEW))
    np.testing.assert_allclose(scores_in_query(model, with_gaps(NEW), NAMES, null="nan"), expected, rtol=1e-9)
    null = {"country": "de", "kind": "a", "fee": 0.5}
    filled = with_gaps(NEW).fillna(null)
    model = behind(ENCODERS[0]).fit(TRAIN, Y)
    found = scores_in_query(model, with_gaps(NEW), NAMES, null=null)
    np.testing.assert_allclose(found, model.predict_proba(filled), rtol=1e-9, atol=1e-12)


def test_histogram_boosting_of_categories() -> None:
    kinds = {"country": pd.CategoricalDtype(["de", "fr", "us", "Ünï"]), "kind": pd.CategoricalDtype(["a", "b", "c"])}
    model = ensemble.HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=10).fit(TRAIN.astype(kinds), Y)
    rows = frame(200, 3)
    found = scores_in_query(model, rows, NAMES)
    np.testing.assert_allclose(found, model.predict_proba(rows.astype(kinds)), rtol=1e-9)


@pytest.mark.parametrize("vectorizer", VECTORIZERS, ids=lambda one: f"{type(one).__name__}-{VECTORIZERS.index(one)}")
def test_words(vectorizer: Any) -> None:
    """By themselves, and as one column of several."""
    rows = pd.DataFrame({"text": [*DOCUMENTS * 5, "other words", "CAT cat", "the the of the mat"], "n": np.arange(33.0)})
    alone = pipeline.make_pipeline(vectorizer, linear_model.LogisticRegression()).fit(DOCUMENTS, [0, 1, 0, 1, 1, 0])
    np.testing.assert_allclose(scores_in_query(alone, rows, ["text"]), alone.predict_proba(rows["text"]), rtol=1e-9)
    columns = compose.make_column_transformer((vectorizer, "text"), (preprocessing.StandardScaler(), ["n"]))
    model = pipeline.make_pipeline(columns, linear_model.LogisticRegression()).fit(rows, np.arange(33) % 2)
    assert_scores(model, rows)


def test_columns_that_a_pipeline_drops() -> None:
    """They are arguments of any type, whose NULL is one."""
    names = [f"name {number % 9}" for number in range(len(TRAIN))]
    columns = compose.make_column_transformer((ENCODERS[0], ["country"]), (preprocessing.StandardScaler(), ["age"]))
    model = pipeline.make_pipeline(columns, linear_model.LogisticRegression()).fit(TRAIN.assign(name=names), Y)
    rows = NEW.assign(name=names[: len(NEW)])
    found = scores_in_query(model, rows, [*NAMES, "name"])
    np.testing.assert_allclose(found, model.predict_proba(rows), rtol=1e-9)
    with qtensor.connect() as connection:
        connection.register("t", rows.assign(name=None).astype({"name": "str"}))
        connection.create_function("m", model)
        assert connection.sql("SELECT DISTINCT m(country, age, kind, fee, name) AS m FROM t").fetchall() == [(None,)]


def test_unknown_texts_and_what_goes_wrong() -> None:
    model = behind(preprocessing.OneHotEncoder()).fit(TRAIN, Y)
    with qtensor.connect() as connection:
        connection.register("t", NEW)
        connection.create_function("m", model)
        with pytest.raises(ExecutionError, match="a text is no known category"):
            connection.sql("SELECT m(country, age, kind, fee) FROM t").fetchall()
        known = connection.sql(
            "SELECT m(country, age, kind, fee) FROM t WHERE country NOT IN ('zz', '') AND kind IN ('a', 'b', 'c')"
        )
        rows = NEW[NEW["country"].isin(TRAIN["country"]) & NEW["kind"].isin(TRAIN["kind"])]
        assert [row[0] for row in known.fetchall()] == model.predict(rows).tolist()
        with pytest.raises(BindError, match='this argument of "m" is a number'):
            connection.sql("SELECT m(country, kind, kind, fee) FROM t")
    only = pipeline.make_pipeline(impute.SimpleImputer(strategy="most_frequent")).fit(TRAIN[["country"]])
    with pytest.raises(ModelError, match="gives a column of texts"):
        imported_model("m", only)
    own = feature_extraction.text.CountVectorizer(analyzer="char").fit(DOCUMENTS)
    with pytest.raises(ModelError, match="analyzer='char'"):
        imported_model("m", own)


ALONE = """
import sys, qtensor
rows = qtensor.load(sys.argv[1])(t=sys.argv[2]).to_pylist()
print([[round(score, 9) for score in row["scores"]] for row in rows])
assert not {"sklearn", "tensorflow"} & set(sys.modules)
"""


def test_a_file_without_scikit_learn(tmp_path: Path) -> None:
    """What is made of texts goes into a file that another process runs without the library, over texts that are new there."""
    model = behind(preprocessing.OneHotEncoder(handle_unknown="ignore")).fit(TRAIN, Y)
    with qtensor.connect() as connection:
        connection.register("t", frame(200, 5, "xx", "yy"))
        connection.create_function("m", model, output="proba")
        connection.sql("SELECT m(country, age, kind, fee) AS scores FROM t").export(tmp_path / "m.qta")
    NEW.to_parquet(tmp_path / "new.parquet")
    command = [sys.executable, "-W", "ignore", "-c", ALONE, str(tmp_path / "m.qta"), str(tmp_path / "new.parquet")]
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ)).stdout
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_allclose(ast.literal_eval(found), model.predict_proba(NEW), atol=1e-8)
