"""Functions of text against DuckDB: over columns, over columns combined, and over constants, which are folded."""

from __future__ import annotations

import pyarrow as pa
import pytest

from qtensor.errors import UnsupportedError
from tests.oracle import Engines

OF_COLUMNS = [
    "SELECT upper(s), lower(s), ucase(w), lcase(c), reverse(s), length(s), strlen(s), bit_length(s), char_length(w), len(c) FROM t",
    "SELECT trim(s), ltrim(s), rtrim(s), trim(s, 'a'), ltrim(s, 'aé'), rtrim(s, 'c%'), trim(both 'a' from s) FROM t",
    "SELECT trim(leading 'a' from s), trim(trailing 'b' from s), trim(s, ''), trim(s, NULL), trim(NULL) FROM t",
    "SELECT left(s, 1), right(s, 1), left(s, -1), right(s, -2), right(s, 0), left(s, NULL) FROM t",
    "SELECT lpad(s, 3, 'xy'), rpad(s, 4, 'é'), lpad(s, 1, ' '), lpad(s, 0, ''), rpad(s, -1, 'x') FROM t",
    "SELECT substring(s, 1, 1), substring(s from 2), substr(s, 2), substring(s, -1), substring(s, 0, 2), substring(s, 2, -1) FROM t",
    "SELECT substring(s from 1 for 2), substring(s, -2, 1), substring(s, NULL), substring(NULL, 1) FROM t",
    "SELECT s[1], s[-1], s[0], s[9], s[1:2], s[2:], s[:1], s[-2:-1], s[0:1], s[2:1], s[NULL] FROM t",
    "SELECT replace(s, 'a', 'bb'), replace(s, '', 'x'), repeat(s, 2), repeat(s, 0), repeat(s, -1) FROM t",
    "SELECT split_part(s, '%', 1), split_part(s, '_', 2), split_part(s, '', -1), split_part(s, 'a', 0) FROM t",
    "SELECT position('a' in s), strpos(s, 'c'), instr(s, ''), strpos(s, 'é') FROM t",
    "SELECT starts_with(s, 'a'), prefix(s, 'ab'), ends_with(s, 'c'), suffix(s, ''), contains(s, '%'), s ^@ 'a' FROM t",
    "SELECT regexp_matches(s, '^a'), regexp_matches(s, 'A', 'i'), regexp_full_match(s, 'a.?c'), s ~ 'a', s !~ 'a' FROM t",
    "SELECT s SIMILAR TO 'a|ab', s NOT SIMILAR TO 'a|ab', regexp_matches(s, '.', 'l'), regexp_matches(s, NULL) FROM t",
    "SELECT regexp_replace(s, 'a', 'x'), regexp_replace(s, '(a)(.)', '\\2\\1'), regexp_replace(s, '[a-z]', '-', 'g') FROM t",
    "SELECT regexp_replace(s, '\\b', '<\\0>'), regexp_replace(s, '(a)?\\b', '[\\1]'), regexp_replace(s, '$', '\\\\') FROM t",
    "SELECT regexp_extract(s, 'a.'), regexp_extract(s, '(a)(.)', 2), regexp_extract(s, '(A)', 1, 'i') FROM t",
    "SELECT 'ab' GLOB s, 'ab' SIMILAR TO w, regexp_matches('ab', w), s GLOB s FROM t",
    "SELECT s GLOB 'a*', s GLOB '?', s GLOB '[a-b]*', s GLOB 'a[!b]c', s NOT GLOB 'a*' FROM t",
    "SELECT ascii(s), unicode(s), ord(w), md5(s), sha256(w), translate(s, 'ab', 'x'), strip_accents(s), hex(s) FROM t",
    "SELECT chr(i8 + 200) FROM t WHERE i8 BETWEEN -5 AND 5",
    "SELECT lower(day::VARCHAR), length(i8::VARCHAR), upper(b::VARCHAR), left(moment::DATE::VARCHAR, 4) FROM t",
    "SELECT levenshtein(s, 'abc'), levenshtein('abc', s) FROM t",
]

OF_SEVERAL_COLUMNS = [
    "SELECT s || 'x', 'x' || s, s || w, s || w || c, s || i8, g || ':' || s, b || s, month(day) || s FROM t",
    "SELECT concat(s, w), concat(s, NULL, w), concat(s, i8), concat(s), concat('a', s, 'b'), concat(n, s) FROM t",
    "SELECT concat_ws('-', s, w, c), concat_ws(s, w, c), concat_ws(NULL, s), concat_ws('-', NULL, s) FROM t",
    "SELECT s LIKE w, s ILIKE w, w LIKE s, s LIKE w || '%', s LIKE c ESCAPE '$', s NOT LIKE w FROM t",
    "SELECT contains(s, w), starts_with(s, w), strpos(s, w), replace(s, w, c), levenshtein(s, w), translate(s, w, c) FROM t",
    "SELECT left(s, i8), right(s, g), repeat(s, g), substring(s, g, g), split_part(s, 'a', g) FROM t",
    "SELECT lpad(s, g + 3, w), regexp_matches(s, w), regexp_replace(s, w, '-', 'g') FROM t",
]

OF_RESULTS = [
    "SELECT upper(s) AS u, count(*), min(lower(s)), max(s || w) FROM t GROUP BY u ORDER BY u",
    "SELECT length(s) AS l, count(*) FROM t GROUP BY l ORDER BY l",
    "SELECT upper(s) = 'A', upper(s) < lower(w), upper(s) IN ('A', 'B'), upper(s) LIKE 'A%', upper(s) = upper(w) FROM t",
    "SELECT CASE WHEN b THEN upper(s) ELSE lower(w) END, coalesce(upper(s), w), nullif(upper(s), 'A') FROM t",
    "SELECT s, w FROM t WHERE substring(s, 1, 1) = left(w, 1) ORDER BY upper(s), lower(w)",
    "SELECT length(upper(s) || lower(w)) + 1, upper(lower(s)), replace(upper(s), 'A', lower('XX')) FROM t",
    "SELECT DISTINCT left(s, 1) AS p FROM t ORDER BY p DESC",
    "SELECT count(DISTINCT upper(s)), count(DISTINCT s) FROM t",
    "SELECT upper(s)::BOOLEAN IS NULL FROM t WHERE s IS NULL",
    "SELECT reverse(w)::INTEGER FROM t WHERE w = '10'",
]

OF_CONSTANTS = [
    "SELECT upper('straße ÄÖ ﬁ'), lower('ÄÖ Σ'), length('e' || chr(769)), trim(chr(9) || ' a' || chr(160) || ' ')",
    "SELECT trim('xxaxyx', 'xy'), trim('abc', ''), ltrim('éàb', 'àé'), left('abc', 0), left('abc', -5), right('abc', 5)",
    "SELECT left('abc', -9223372036854775808), right('abc', -9223372036854775808), substring('abc', -5, 3)",
    "SELECT lpad('abc', 2, ''), lpad('abc', -1, 'x'), lpad('abc', 6, 'éx'), rpad('abc', 6, 'éx'), lpad('', 3, 'a')",
    "SELECT replace('abab', '', 'xx'), replace('', '', 'x'), repeat('', 5), strpos('', ''), strpos('éab', 'a'), position('' in 'abc')",
    "SELECT reverse('e' || chr(769) || 'a'), reverse('👨‍👩‍👧x'), reverse('🇩🇪🇫🇷a'), reverse('👍🏽x')",
    "SELECT split_part('a,b,c', ',', -1), split_part('a,b,c', ',', 4), split_part('', '', 1), split_part(NULL, ',', 1)",
    "SELECT regexp_matches('a' || chr(10) || 'b', 'a.b'), regexp_matches('a' || chr(10) || 'b', 'a.b', 's')",
    "SELECT regexp_matches('A', 'a', 'ci'), regexp_matches('A', 'a', 'ic'), regexp_full_match('ab' || chr(10), 'ab')",
    "SELECT regexp_replace('abab', '', '-', 'g'), regexp_replace('abab', 'x*', '-'), regexp_replace('a.b', '.', 'x', 'lg')",
    "SELECT regexp_extract('abc', '(a)(b)', 3), regexp_extract('abc', '(z)?b', 1), regexp_extract('foobar', 'o*?b')",
    "SELECT regexp_extract('foobarbar', '^bar|bar$'), regexp_extract('aXb', '(x)b', 1, 'i'), regexp_extract(NULL, 'a')",
    "SELECT ascii(''), unicode(''), ascii('é'), chr(0), chr(233), translate('12345', '143', 'ax'), strip_accents('Åéñø')",
    "SELECT 'é' GLOB '??', 'abc' GLOB 'a[^b]c', 'a]c' GLOB 'a[]b]c', 'abc' GLOB 'a[bc', 'a' GLOB '[!]]', 'a-c' GLOB 'a[a-]c'",
    "SELECT 'a' || NULL, NULL || 'a', 1 || 2, 'a' || 'b' || 'c', 1.50 || 'x', DATE '2020-01-01' || 'x', TRUE || 'x'",
    "SELECT concat(1, NULL, TRUE), concat(NULL), concat_ws(',', NULL, NULL), concat_ws(',', 1, 2), md5(''), levenshtein('kitten', 'sit')",
    "SELECT upper(NULL), length(NULL), 'abc'[2], 'abc'[2:], ('a' || 'bc')[1]",
]

REFUSED = [
    "SELECT left(s, 9223372036854775807) FROM t",
    "SELECT lpad(s, 9, '') FROM t",
    "SELECT chr(i8) FROM t",
    "SELECT chr(-1)",
    "SELECT regexp_matches(s, '(') FROM t",
    "SELECT regexp_matches(s, 'a', 'x') FROM t",
    "SELECT regexp_matches(s, 'a', 'g') FROM t",
    "SELECT regexp_replace(s, '(a)', '\\3') FROM t",
    "SELECT regexp_extract(s, '(a)', -1) FROM t",
    "SELECT upper(5)",
    "SELECT length(i8) FROM t",
    "SELECT substring(s, 1.5) FROM t",
    "SELECT lpad(s, 6) FROM t",
    "SELECT concat() FROM t",
    "SELECT upper(s, s) FROM t",
]


@pytest.mark.parametrize("query", OF_COLUMNS)
def test_of_columns(row_engines: Engines, query: str) -> None:
    row_engines.check(query)


@pytest.mark.parametrize("query", OF_SEVERAL_COLUMNS)
def test_of_several_columns(row_engines: Engines, query: str) -> None:
    row_engines.check(query)


@pytest.mark.parametrize("query", OF_RESULTS)
def test_of_results(engines: Engines, query: str) -> None:
    engines.check(query)


@pytest.mark.parametrize("query", OF_CONSTANTS)
def test_of_constants(full: Engines, query: str) -> None:
    full.check(query)


@pytest.mark.parametrize("query", REFUSED)
def test_refused(full: Engines, query: str) -> None:
    full.check_refused(query)


def test_over_chunks(large: Engines) -> None:
    large.check("SELECT left(s, 1) AS l, upper(w) AS u, count(*), max(s || w) FROM t GROUP BY l, u ORDER BY l, u")


def test_many_strings_are_no_matter_for_one_column_and_can_only_be_given_out_for_two() -> None:
    many = pa.table({"a": [f"name {i}" for i in range(3000)], "b": [f"other {i}" for i in range(3000)]})
    engines = Engines.over(many=many)
    engines.check("SELECT upper(a), substring(a, 6), length(b), a || '!' FROM many")
    engines.check("SELECT a || b FROM many")
    with pytest.raises(UnsupportedError, match="more than 65,536 combinations"):
        engines.ours.sql("SELECT max(a || b) FROM many").fetchall()
    with pytest.raises(UnsupportedError, match="strpos of 4,096 x 4,096 different values, more than 65,536 combinations"):
        engines.ours.sql("SELECT strpos(a, b) FROM many").fetchall()
    engines.close()
