"""scikit-learn's estimators beside scikit-learn itself: classes equal, numbers to 1e-9 of their size."""

from __future__ import annotations

import datetime
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import (
    calibration,
    cluster,
    compose,
    covariance,
    cross_decomposition,
    decomposition,
    discriminant_analysis,
    dummy,
    ensemble,
    feature_selection,
    impute,
    isotonic,
    kernel_approximation,
    linear_model,
    mixture,
    model_selection,
    multiclass,
    multioutput,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    random_projection,
    semi_supervised,
    svm,
    tree,
)

import qtensor
from qtensor.errors import ExecutionError, ModelError
from qtensor.lowering.models.kinds import imported_model
from tests.models.oracle import columns_of, failures, run

ROWS, WIDTH = 300, 5


def table(rows: int, seed: int) -> NDArray[np.float64]:
    """Features of different sizes, of which the last is one of few whole numbers."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, WIDTH)) * [1, 10, 0.1, 1, 1]
    values[:, 4] = random.integers(0, 4, rows)
    return values


X, NEW = table(ROWS, 1), table(200, 2)
NEW[:50] = X[:50]  # thresholds and kept rows met exactly
NEW[50:55, :4] = [[1e4], [-1e4], [0], [-0.0], [1e-30]]
Y = X[:, 0] * 2 + np.sin(X[:, 1]) + X[:, 4]
TWO, THREE = (Y > 1).astype(int), np.digitize(Y, [0, 2])
GAPS = np.where(np.random.default_rng(3).random(X.shape) < 0.15, np.nan, X)
NEW_GAPS = np.where(np.random.default_rng(4).random(NEW.shape) < 0.2, np.nan, NEW)

few = {"random_state": 0}
REGRESSORS = [
    linear_model.LinearRegression(), linear_model.Ridge(), linear_model.Lasso(0.01), linear_model.ElasticNet(0.01),
    linear_model.SGDRegressor(max_iter=50, eta0=1e-4, tol=None), linear_model.BayesianRidge(), linear_model.HuberRegressor(max_iter=1000),
    linear_model.RidgeCV(), linear_model.LassoCV(cv=2), linear_model.TweedieRegressor(power=0), svm.LinearSVR(dual=False, loss="squared_epsilon_insensitive"),
    svm.SVR(), svm.SVR(kernel="poly", degree=2), svm.SVR(kernel="linear", C=0.01), svm.SVR(kernel="sigmoid"), svm.NuSVR(),
    neural_network.MLPRegressor(hidden_layer_sizes=(8, 4), max_iter=50, **few), neural_network.MLPRegressor(hidden_layer_sizes=(8,), activation="tanh", max_iter=20, **few),
    neighbors.KNeighborsRegressor(), neighbors.KNeighborsRegressor(3, weights="distance"),
    tree.DecisionTreeRegressor(max_depth=6), tree.ExtraTreeRegressor(**few), ensemble.RandomForestRegressor(20, **few),
    ensemble.ExtraTreesRegressor(10, max_depth=4, **few), ensemble.GradientBoostingRegressor(n_estimators=20, max_depth=3),
    ensemble.HistGradientBoostingRegressor(max_iter=20), ensemble.HistGradientBoostingRegressor(loss="absolute_error", max_iter=5),
    ensemble.VotingRegressor([("a", linear_model.Ridge()), ("b", tree.DecisionTreeRegressor(max_depth=3))], weights=[1, 2]),
    ensemble.StackingRegressor([("a", linear_model.Ridge()), ("b", tree.DecisionTreeRegressor(max_depth=3))], passthrough=True),
    ensemble.BaggingRegressor(tree.DecisionTreeRegressor(max_depth=3), 4, max_features=3, **few),
    compose.TransformedTargetRegressor(linear_model.Ridge(), transformer=preprocessing.StandardScaler()),
    model_selection.GridSearchCV(linear_model.Ridge(), {"alpha": [0.1, 1]}, cv=2),
    ensemble.AdaBoostRegressor(n_estimators=15, **few), ensemble.AdaBoostRegressor(linear_model.Ridge(), n_estimators=4, **few),
    linear_model.RANSACRegressor(**few), cross_decomposition.PLSRegression(2),
]  # fmt: skip
POSITIVE = [
    linear_model.PoissonRegressor(max_iter=300), linear_model.TweedieRegressor(power=1.5, max_iter=300),
    ensemble.HistGradientBoostingRegressor(loss="poisson", max_iter=5),
    compose.TransformedTargetRegressor(linear_model.Ridge(), func=np.log1p, inverse_func=np.expm1),
]  # fmt: skip
CLASSIFIERS = [
    linear_model.LogisticRegression(max_iter=1000), linear_model.SGDClassifier(loss="log_loss", **few), linear_model.SGDClassifier(loss="modified_huber", **few),
    linear_model.SGDClassifier(**few), linear_model.RidgeClassifier(), linear_model.Perceptron(), svm.LinearSVC(), svm.SVC(), svm.SVC(kernel="poly"),
    svm.SVC(decision_function_shape="ovo"), svm.SVC(break_ties=True), svm.NuSVC(nu=0.1), neural_network.MLPClassifier((8,), max_iter=50, **few),
    naive_bayes.GaussianNB(), naive_bayes.BernoulliNB(), neighbors.KNeighborsClassifier(), neighbors.KNeighborsClassifier(4, weights="distance", p=1),
    neighbors.NearestCentroid(), discriminant_analysis.LinearDiscriminantAnalysis(), discriminant_analysis.QuadraticDiscriminantAnalysis(),
    tree.DecisionTreeClassifier(max_depth=5), ensemble.RandomForestClassifier(20, **few), ensemble.ExtraTreesClassifier(10, max_depth=3, **few),
    ensemble.GradientBoostingClassifier(n_estimators=10), ensemble.HistGradientBoostingClassifier(max_iter=10),
    ensemble.VotingClassifier([("a", naive_bayes.GaussianNB()), ("b", tree.DecisionTreeClassifier(max_depth=3))], voting="soft", weights=[1, 3]),
    ensemble.VotingClassifier([("a", naive_bayes.GaussianNB()), ("b", tree.DecisionTreeClassifier(max_depth=3)), ("c", svm.LinearSVC())]),
    ensemble.StackingClassifier([("a", naive_bayes.GaussianNB()), ("b", tree.DecisionTreeClassifier(max_depth=3))], linear_model.LogisticRegression(max_iter=500)),
    ensemble.BaggingClassifier(tree.DecisionTreeClassifier(max_depth=4), 5, max_features=4, **few),
    ensemble.AdaBoostClassifier(n_estimators=20, **few), ensemble.AdaBoostClassifier(linear_model.LogisticRegression(), n_estimators=3, **few),
    calibration.CalibratedClassifierCV(naive_bayes.GaussianNB(), cv=3), calibration.CalibratedClassifierCV(svm.LinearSVC(), cv=2, method="isotonic"),
    calibration.CalibratedClassifierCV(tree.DecisionTreeClassifier(max_depth=4), ensemble=False),
    multiclass.OneVsRestClassifier(linear_model.LogisticRegression()), multiclass.OneVsRestClassifier(tree.DecisionTreeClassifier(max_depth=4)),
    multiclass.OneVsOneClassifier(svm.LinearSVC()), multiclass.OneVsOneClassifier(tree.DecisionTreeClassifier(max_depth=4)),
    multiclass.OutputCodeClassifier(linear_model.LogisticRegression(), code_size=3, **few),
    dummy.DummyClassifier(), dummy.DummyClassifier(strategy="most_frequent"), dummy.DummyClassifier(strategy="constant", constant=1),
    semi_supervised.SelfTrainingClassifier(naive_bayes.GaussianNB()), linear_model.LogisticRegressionCV(max_iter=1000, cv=2, l1_ratios=(0,), use_legacy_attributes=False),
]  # fmt: skip
TRANSFORMERS = [
    preprocessing.StandardScaler(), preprocessing.StandardScaler(with_mean=False), preprocessing.MinMaxScaler(), preprocessing.MinMaxScaler((-1, 1), clip=True),
    preprocessing.MaxAbsScaler(), preprocessing.RobustScaler(), preprocessing.Normalizer(), preprocessing.Normalizer("l1"), preprocessing.Normalizer("max"),
    preprocessing.PolynomialFeatures(3), preprocessing.PolynomialFeatures(2, interaction_only=True, include_bias=False), preprocessing.Binarizer(threshold=0.5),
    preprocessing.PowerTransformer(), preprocessing.PowerTransformer(standardize=False), preprocessing.FunctionTransformer(np.abs), preprocessing.FunctionTransformer(),
    preprocessing.QuantileTransformer(n_quantiles=40), preprocessing.QuantileTransformer(n_quantiles=40, output_distribution="normal"),
    decomposition.FactorAnalysis(2), decomposition.FastICA(2, **few), random_projection.GaussianRandomProjection(3, **few), random_projection.SparseRandomProjection(3, **few),
    kernel_approximation.RBFSampler(n_components=7, **few), cluster.FeatureAgglomeration(2), neighbors.NeighborhoodComponentsAnalysis(2, max_iter=5, **few),
    preprocessing.KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf"), preprocessing.KBinsDiscretizer(3, encode="ordinal", strategy="uniform"),
    decomposition.PCA(3), decomposition.PCA(2, whiten=True), decomposition.TruncatedSVD(2), cluster.KMeans(3, n_init=1, **few),
    feature_selection.SelectKBest(k=2), feature_selection.VarianceThreshold(0.5), feature_selection.SelectFromModel(linear_model.Lasso(0.1)),
    feature_selection.RFE(linear_model.Ridge(), n_features_to_select=2), discriminant_analysis.LinearDiscriminantAnalysis(),
    pipeline.FeatureUnion([("a", preprocessing.StandardScaler()), ("b", decomposition.PCA(2))], transformer_weights={"b": 2.0}),
]  # fmt: skip
WITH_GAPS = [
    impute.SimpleImputer(), impute.SimpleImputer(strategy="median", add_indicator=True), impute.SimpleImputer(strategy="constant", fill_value=-1.5),
    impute.MissingIndicator(), preprocessing.StandardScaler(), preprocessing.OneHotEncoder(handle_unknown="ignore", sparse_output=False),
]  # fmt: skip


def shown(estimator: Any) -> str:
    return f"{type(estimator).__name__}-{getattr(estimator, 'kernel', '')}{getattr(estimator, 'loss', '')}".rstrip("-")


def fitted(estimator: Any, x: NDArray[Any], y: Any = None) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say of convergence and deprecations is none of ours
        return estimator.fit(x, y)


def quietly(function: Callable[[Any], Any], x: Any) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = function(x)
    return np.asarray(found.toarray() if hasattr(found, "toarray") else found)


def found_of(estimator: Any, x: NDArray[Any], output: str | None = None) -> NDArray[Any]:
    return run(imported_model("m", estimator, output=output), *columns_of(x))


def assert_close(found: NDArray[Any], expected: NDArray[Any]) -> None:
    expected = np.asarray(expected, np.float64).reshape(found.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * max(1.0, float(np.nanmedian(np.abs(expected)))))


@pytest.mark.parametrize("estimator", REGRESSORS, ids=shown)
def test_regressors(estimator: Any) -> None:
    fitted(estimator, X, Y)
    assert_close(found_of(estimator, NEW), quietly(estimator.predict, NEW))


@pytest.mark.parametrize("estimator", POSITIVE, ids=shown)
def test_regressors_of_what_is_positive(estimator: Any) -> None:
    fitted(estimator, X, np.abs(Y))
    rows = NEW[:50]  # e to the others is infinite
    assert_close(found_of(estimator, rows), quietly(estimator.predict, rows))


@pytest.mark.parametrize("classes", [TWO, THREE], ids=["two", "three"])
@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=shown)
def test_classifiers(estimator: Any, classes: NDArray[Any]) -> None:
    fitted(estimator, X, classes)
    np.testing.assert_array_equal(found_of(estimator, NEW), quietly(estimator.predict, NEW))
    if isinstance(estimator, neighbors.NearestCentroid):
        return
    if hasattr(estimator, "predict_proba"):
        assert_close(found_of(estimator, NEW, "scores"), quietly(estimator.predict_proba, NEW))
    elif hasattr(estimator, "decision_function"):
        assert_close(found_of(estimator, NEW, "raw"), quietly(estimator.decision_function, NEW))


@pytest.mark.parametrize("estimator", TRANSFORMERS, ids=shown)
def test_transformers(estimator: Any) -> None:
    """As a pipeline that ends with one, unless that predicts; and before a predictor, whose features they are then."""
    if not hasattr(estimator, "predict"):
        whole = fitted(pipeline.make_pipeline(estimator), X, THREE)
        assert_close(found_of(whole, NEW), quietly(whole.transform, NEW))
    before = fitted(pipeline.make_pipeline(estimator, linear_model.Ridge()), X, THREE)
    assert_close(found_of(before, NEW), quietly(before.predict, NEW))


@pytest.mark.parametrize("estimator", WITH_GAPS, ids=shown)
def test_transformers_of_what_is_missing(estimator: Any) -> None:
    whole = fitted(pipeline.make_pipeline(estimator), GAPS)
    assert_close(found_of(whole, NEW_GAPS), quietly(whole.transform, NEW_GAPS))


@pytest.mark.parametrize(
    "estimator",
    [
        tree.DecisionTreeRegressor(max_depth=7),
        ensemble.RandomForestClassifier(15, max_depth=6, random_state=0),
        ensemble.HistGradientBoostingClassifier(max_iter=15),
    ],
    ids=shown,
)
def test_trees_of_what_is_missing(estimator: Any) -> None:
    fitted(estimator, GAPS, THREE)
    np.testing.assert_array_equal(found_of(estimator, NEW_GAPS), estimator.predict(NEW_GAPS))


def test_a_tree_of_gaps_alone() -> None:
    """A split between what is missing and what is not has an infinite threshold."""
    x = np.where(np.arange(40) % 2, np.nan, np.arange(40.0))[:, None]
    model = tree.DecisionTreeRegressor().fit(x, np.isnan(x[:, 0]) * 1.0)
    np.testing.assert_array_equal(found_of(model, x), model.predict(x))


def test_histograms_of_categories() -> None:
    """Encoded, in front of other features; what was not seen goes where what is missing goes."""
    x = GAPS.copy()
    x[:, 1] = np.random.default_rng(0).integers(5, 40, ROWS)
    y = Y + x[:, 1] % 3
    new = np.concatenate([x[:100], NEW_GAPS])
    new[100:, 1] = np.random.default_rng(1).integers(-2, 60, len(NEW_GAPS))
    new[150:160, 1] = np.nan
    model = ensemble.HistGradientBoostingRegressor(max_iter=30, categorical_features=[1, 4], min_samples_leaf=3).fit(x, y)
    assert any(tree_.nodes["is_categorical"].any() for one in model._predictors for tree_ in one)
    assert_close(found_of(model, new), model.predict(new))


def test_a_forest_of_outliers() -> None:
    model = ensemble.IsolationForest(n_estimators=20, random_state=0, max_features=3).fit(X)
    np.testing.assert_array_equal(found_of(model, NEW), model.predict(NEW))
    assert_close(found_of(model, NEW, "raw"), model.decision_function(NEW))


UNLABELLED = [
    cluster.KMeans(4, n_init=2, **few), cluster.MeanShift(), cluster.Birch(n_clusters=3), cluster.AffinityPropagation(max_iter=50, **few),
    *(mixture.GaussianMixture(3, covariance_type=kind, **few) for kind in ("full", "tied", "diag", "spherical")),
    mixture.BayesianGaussianMixture(n_components=3, **few), svm.OneClassSVM(nu=0.2), linear_model.SGDOneClassSVM(**few), covariance.EllipticEnvelope(**few),
]  # fmt: skip


@pytest.mark.parametrize("model", UNLABELLED, ids=lambda one: f"{type(one).__name__}{getattr(one, 'covariance_type', '')}")
def test_without_labels(model: Any) -> None:
    fitted(model, X)
    rows = NEW[:50] if hasattr(model, "predict_proba") else NEW  # far away all are as improbable
    np.testing.assert_array_equal(found_of(model, rows), quietly(model.predict, rows))
    if hasattr(model, "predict_proba"):
        assert_close(found_of(model, rows, "scores"), model.predict_proba(rows))
    elif hasattr(model, "decision_function"):
        assert_close(found_of(model, rows, "raw"), model.decision_function(rows))


def test_counts_and_categories() -> None:
    """Bayes over counts, and over numbers of categories, of which unknown ones fail."""
    counts = np.random.default_rng(0).integers(0, 5, (ROWS, WIDTH))
    for model in (naive_bayes.ComplementNB(), naive_bayes.MultinomialNB(), naive_bayes.CategoricalNB()):
        fitted(model, counts, THREE)
        np.testing.assert_array_equal(found_of(model, counts), model.predict(counts))
        assert_close(found_of(model, counts, "scores"), model.predict_proba(counts))
    unknown = np.concatenate([counts[:3], [[0, 0, 9, 0, 0], [-1, 0, 0, 0, 0]]])
    assert failures(imported_model("m", model), *columns_of(unknown))[0].tolist() == [False, False, False, True, True]


def test_thresholds() -> None:
    first = {"estimator": linear_model.LogisticRegression(), "threshold": 0.3}
    for model in (
        model_selection.FixedThresholdClassifier(**first),
        model_selection.FixedThresholdClassifier(**first, pos_label="no"),
        model_selection.FixedThresholdClassifier(svm.LinearSVC(), threshold=-0.5, response_method="decision_function"),
        model_selection.TunedThresholdClassifierCV(naive_bayes.GaussianNB(), cv=2),
    ):
        taken = imported_model("m", fitted(model, X, np.where(TWO, "yes", "no")))
        assert taken.labels is not None
        np.testing.assert_array_equal(np.asarray(taken.labels)[run(taken, *columns_of(NEW))], model.predict(NEW))


def test_several_numbers_and_one_feature() -> None:
    model = fitted(multioutput.MultiOutputRegressor(linear_model.Ridge()), X, np.stack([Y, -Y], 1))
    assert_close(found_of(model, NEW), model.predict(NEW))
    for beyond in ("clip", "nan"):
        steps = fitted(isotonic.IsotonicRegression(out_of_bounds=beyond), X[:, 0], Y)
        assert_close(found_of(steps, NEW[:, :1]), steps.predict(NEW[:, 0]))


def test_categories() -> None:
    codes = np.random.default_rng(0).integers(3, 7, (100, WIDTH)).astype(float)
    codes[:5, 0] = np.nan
    for encoder in (
        preprocessing.OneHotEncoder(drop="first", handle_unknown="ignore"),
        preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
    ):
        model = pipeline.make_pipeline(encoder).fit(codes)
        strange = np.concatenate([codes, codes + 2])
        assert_close(found_of(model, strange), quietly(model.transform, strange))


def test_unknown_categories_fail() -> None:
    model = pipeline.make_pipeline(preprocessing.OrdinalEncoder()).fit(X[:, 4:])
    rows = np.array([0, 1, 9, np.nan, 2])
    failed, found = failures(imported_model("m", model), rows)
    np.testing.assert_array_equal(failed, [False, False, True, True, False])
    assert_close(found[~failed], model.transform(rows[~failed][:, None]))


def test_what_sklearn_refuses_fails() -> None:
    rows = X[:6].copy()
    rows[1, 0], rows[3, 2], rows[4, 1] = np.nan, np.inf, -np.inf
    linear = linear_model.Ridge().fit(X, Y)
    assert failures(imported_model("m", linear), *columns_of(rows))[0].tolist() == [False, True, False, True, True, False]
    scaled = pipeline.make_pipeline(preprocessing.StandardScaler()).fit(X)
    assert failures(imported_model("m", scaled), *columns_of(rows))[0].tolist() == [False, False, False, True, True, False]
    rows[5, 0] = 1e39  # no float32
    forest = tree.DecisionTreeRegressor().fit(X, Y)
    assert failures(imported_model("m", forest), *columns_of(rows))[0].tolist() == [False, False, False, True, True, True]


def test_labels() -> None:
    for labels in (np.array(["low", "mid", "high"])[THREE], THREE * 7 - 3, THREE * 2.0, THREE > 0):
        model = tree.DecisionTreeClassifier(max_depth=3).fit(X, labels)
        taken = imported_model("m", model)
        found = run(taken, *columns_of(NEW))
        if taken.labels is not None:
            found = np.asarray(taken.labels)[found]
        np.testing.assert_array_equal(found, model.predict(NEW))


class Doubled(preprocessing.StandardScaler):
    def transform(self, rows: Any, copy: Any = None) -> Any:
        return 2 * super().transform(rows)


def test_what_cannot_be_converted_is_named() -> None:
    steps = [("odd", preprocessing.OneHotEncoder(sparse_output=False)), ("own", Doubled()), ("last", linear_model.Ridge())]
    model = pipeline.Pipeline(steps)
    dates = np.array([[datetime.date(2020, 1, 1)], [datetime.date(2020, 1, 2)]] * 10, object)
    with pytest.raises(ModelError, match=r'"odd".*column of date.*"own".*class of its own'):
        imported_model("m", model.fit(dates, np.arange(20)))
    with pytest.raises(ModelError, match="not fitted"):
        imported_model("m", linear_model.Ridge())
    with pytest.raises(ModelError, match="not supported"):
        imported_model("m", cluster.BisectingKMeans(2).fit(X))
    with pytest.raises(ModelError, match="several outputs"):
        imported_model("m", tree.DecisionTreeClassifier().fit(X, np.stack([TWO, THREE], 1)))


def test_columns_by_name() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["fee", "age", "rate", "size", "kind"])
    columns = compose.ColumnTransformer(
        [
            ("numbers", pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler()), ["age", "fee"]),
            ("codes", preprocessing.OneHotEncoder(), ["kind"]),
            ("left", "drop", ["rate"]),
        ],
        remainder="passthrough",
    )
    model = pipeline.make_pipeline(columns, linear_model.LogisticRegression(max_iter=500)).fit(frame, THREE)
    taken = imported_model("m", model, output="proba")
    assert [one.name for one in taken.inputs] == list(frame.columns)
    assert_close(run(taken, *columns_of(NEW[:50])), model.predict_proba(pd.DataFrame(NEW[:50], columns=frame.columns)))
    by_position = compose.make_column_transformer((preprocessing.StandardScaler(), slice(1, 3)), ("passthrough", [-1]))
    whole = pipeline.make_pipeline(by_position).fit(X)
    assert_close(found_of(whole, NEW), whole.transform(NEW))


def test_in_queries() -> None:
    """Labels of text, rows that fail, and NULL."""
    names = ["a", "b", "c", "d", "e"]
    forest = ensemble.RandomForestClassifier(8, max_depth=12, random_state=0)
    labels = np.array(["low", "mid", "high"])[THREE]
    model = pipeline.make_pipeline(preprocessing.StandardScaler(), forest).fit(X, labels)
    rows = np.resize(NEW, (3_000, WIDTH))
    expected = Counter(model.predict(rows).tolist())
    with qtensor.connect() as connection:
        connection.register("t", dict(zip(names, columns_of(rows), strict=True)))
        connection.create_function("m", model)
        query = connection.sql("SELECT m(a, b, c, d, e) AS label, count(*) AS n FROM t GROUP BY label")
        assert dict(query.fetchall()) == expected
        with pytest.raises(ExecutionError, match="has no result for a row: a value is NaN, infinite or too large"):
            connection.sql("SELECT m(a, b, c, d, 'inf'::DOUBLE) FROM t").fetchall()
        assert connection.sql("SELECT m(a, b, c, d, NULL) FROM t LIMIT 1").fetchall() == [(None,)]
