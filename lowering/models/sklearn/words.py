"""Vectors of words: what CountVectorizer and TfidfVectorizer make of a column of texts, once for each different text."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from qtensor.lowering.models.assembled import Part, Run, chained
from qtensor.lowering.models.sklearn.builder import Array, Builder, NotConvertedError, Step, transformer
from qtensor.lowering.models.text_features import CountedWords

SHORTEST = {r"(?u)\b\w\w+\b": 2, r"\b\w\w+\b": 2, r"(?u)\b\w+\b": 1, r"\b\w+\b": 1, r"\w+": 1, r"(?u)\w+": 1}
MOST_WORDS = 1 << 14
VECTORIZERS = ("CountVectorizer", "TfidfVectorizer")


@transformer("CountVectorizer")
def count_vectorizer(builder: Builder, estimator: Any, width: int) -> Step:
    """Words as scikit-learn finds them by its own patterns; vocabularies of up to 16,384 words."""
    refuse_own(estimator)
    ordered = sorted(estimator.vocabulary_.items(), key=lambda item: item[1])
    if len(ordered) > MOST_WORDS:
        raise NotConvertedError(f"knows {len(ordered):,} words; at most {MOST_WORDS:,} are supported: pass max_features=")
    if [number for _, number in ordered] != list(range(len(ordered))):
        raise NotConvertedError("has a vocabulary whose numbers are not 0, 1, 2 and so on")
    low, high = estimator.ngram_range
    words = CountedWords(
        tuple(word for word, _ in ordered),
        SHORTEST[estimator.token_pattern],
        tuple(range(low, high + 1)),
        tuple(sorted(estimator.get_stop_words() or ())) if high > 1 else (),
        bool(estimator.lowercase),
        bool(estimator.binary),
    )
    source = builder.text_source(0)
    table = builder.texts.counted(source, words)

    def part(run: Run, x: Array) -> Array:
        return run.made_of_text(source, table).astype(x.dtype)

    return Step(part, len(ordered))


def refuse_own(estimator: Any) -> None:
    """Raise NotConvertedError for what parts words in another way than by patterns that are known here."""
    for key in ("tokenizer", "preprocessor", "strip_accents"):
        if getattr(estimator, key) is not None:
            raise NotConvertedError(f"has {key}={getattr(estimator, key)!r}, which is not supported")
    if estimator.analyzer != "word":
        raise NotConvertedError(f'has analyzer={estimator.analyzer!r}; "word" is supported')
    if estimator.token_pattern not in SHORTEST:
        raise NotConvertedError(f"has token_pattern={estimator.token_pattern!r}; one of {', '.join(SHORTEST)} is supported")


@transformer("TfidfTransformer")
def tfidf(builder: Builder, estimator: Any, width: int) -> Step:
    weights = builder.hold(estimator.idf_) if estimator.use_idf else None

    def part(run: Run, x: Array) -> Array:
        if estimator.sublinear_tf:
            x = jnp.where(x == 0, 0.0, jnp.log(jnp.where(x == 0, 1.0, x)) + 1.0)
        if weights is not None:
            x = x * run.column(weights)
        if estimator.norm is None:
            return x
        size = jnp.abs(x) if estimator.norm == "l1" else x * x
        norm = size.sum(axis=0, keepdims=True)
        norm = norm if estimator.norm == "l1" else jnp.sqrt(norm)
        return x / jnp.where(norm == 0, 1.0, norm)

    return Step(part, width)


@transformer("TfidfVectorizer")
def tfidf_vectorizer(builder: Builder, estimator: Any, width: int) -> Step:
    counted = count_vectorizer(builder, estimator, width)
    weighted: Part = tfidf(builder, estimator._tfidf, counted.width).part
    return Step(chained(counted.part, weighted), counted.width)


def takes_one_text(estimator: Any) -> bool:
    """Whether an estimator, or the first step of a pipeline, takes a list of texts, not rows."""
    steps = getattr(estimator, "steps", None)
    return takes_one_text(steps[0][1]) if steps else type(estimator).__name__ in VECTORIZERS
