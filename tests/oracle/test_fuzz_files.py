"""The harness of strangers' files itself: each outcome is told from the others, inputs repeat; then a few inputs of each door."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner

from tests.oracle import planted_door
from tests.oracle.fuzz_files import __main__ as command
from tests.oracle.fuzz_files import doors, flatbuffers, thrift
from tests.oracle.fuzz_files.child import door_of
from tests.oracle.fuzz_files.door import read_files, write_files
from tests.oracle.fuzz_files.doors import arrow, parquet
from tests.oracle.fuzz_files.harness import Child, Limits, input_of
from tests.oracle.fuzz_files.mutations import CHANGES, mutated_bytes
from tests.oracle.fuzz_files.structures import fields_of, mutated_json, mutated_protobuf, written

PLANTED = "tests.oracle.planted_door"
LIMITS = Limits(seconds=3, memory=256 << 20, inputs=100)


@pytest.fixture(scope="module")
def child():
    with Child(PLANTED, LIMITS) as child:
        yield child


@pytest.mark.parametrize(
    ("content", "outcome", "message"),
    [
        (b"A B", "same", ""),
        (b"a b", "wrong", "expected"),
        (b"refused", "refused", "DataError: no words"),
        (b"raw", "raw", "KeyError: 'raw'"),
        (b"died", "died", "SIGABRT: the last words"),
        (b"left", "died", "exit status 0"),
        (b"hung", "hung", "no answer within 3 s"),
        (b"memory", "memory", "more than"),
        (b"wrote", "wrote", "it wrote beside"),
        (b"oracle raised", "unconfirmed", "ValueError: unreadable"),
        (b"oracle died", "unconfirmed", "SIGABRT"),
    ],
)
def test_outcomes(content: bytes, outcome: str, message: str) -> None:
    with Child(PLANTED, LIMITS) as child:
        verdict = child.judged({"input": content})
        assert (verdict.outcome, verdict.failed) == (outcome, outcome not in ("same", "refused", "unconfirmed"))
        assert message in verdict.message
        assert child.judged({"input": b"A B"}).outcome == "same"  # it goes on


def test_a_seed_of_a_run_makes_the_same_inputs_again(child: Child) -> None:
    seeds = child.seeds()
    assert [seed["input"] for seed in seeds] == [b"A B", b"refused"]
    door = door_of(PLANTED)
    first = [input_of(door, seeds, 7, number) for number in range(200)]
    assert first[:2] == seeds
    assert first == [input_of(door, seeds, 7, number) for number in range(200)]
    assert first != [input_of(door, seeds, 8, number) for number in range(200)]


def test_a_run_keeps_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [b"A", b"raw", b"refused"]
    monkeypatch.setattr(
        planted_door.PlantedDoor, "mutated", lambda self, random, seed, others: {"input": random.choice(contents)}
    )
    progress = command.run(PLANTED, 1, 0.0, 30, 1, LIMITS, tmp_path)
    assert sum(progress.outcomes.values()) == 30
    assert set(progress.outcomes) == {"same", "refused", "raw"}
    assert len(progress.failed) == progress.outcomes["raw"] > 0
    assert read_files(progress.failed[0] / "files") == {"input": b"raw"}
    again = CliRunner().invoke(command.main, ["--again", str(progress.failed[0])])
    assert again.exit_code == 1
    assert "KeyError: 'raw'" in again.output


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_changes_of_bytes(change) -> None:
    for content in (b"", b"x", bytes(range(256))):
        results = {change(Random(seed), content, [b"other"]) for seed in range(50)}
        assert all(isinstance(result, bytes) for result in results)
        assert len(content) < 2 or results != {content}


def test_changes_of_structures() -> None:
    message = b"".join(
        map(written, [(1, 0, 300), (2, 2, b"".join(map(written, [(1, 2, b"inner"), (3, 5, b"abcd")]))), (4, 1, b"8 bytes.")])
    )
    assert b"".join(map(written, fields_of(message))) == message
    assert fields_of(b"\x0a\xff") == []
    messages = {mutated_protobuf(Random(seed), message) for seed in range(300)}
    assert sum(bool(fields_of(changed)) for changed in messages) > len(messages) / 2
    text = json.dumps({"a": [1, {"b": True}], "c": "x"}).encode()
    texts = {mutated_json(Random(seed), text) for seed in range(300)}
    assert len(texts) > 50
    for changed in texts:
        json.loads(changed)
    assert mutated_json(Random(0), b"{") != b""
    assert mutated_bytes(Random(1), text, [message]) == mutated_bytes(Random(1), text, [message])


def test_parquet_files_as_trees() -> None:
    """Trees are written as they were read, and so can be read again after a change."""
    with Child("parquet", LIMITS) as child:
        seeds = [seed[parquet.FILE] for seed in child.seeds()]
    for content in seeds:
        footer, start = parquet.footer_of(content)
        assert parquet.with_footer(content[:start], footer) == content
        pages = parquet.pages_of(content[:start], footer)
        assert len(pages) >= sum(len(group.get(1).values) for group in footer.get(4).values)
        assert all(thrift.written(page) == content[begin:body] for page, begin, body, _ in pages)
        changed = {thrift.written(thrift.changed(Random(seed), footer)) for seed in range(40)}
        assert len(changed) > 30
        again = [thrift.structure_at(octets)[0] for octets in changed]
        assert len({thrift.written(tree) for tree in again}) == len(changed)


def test_numbers_in_arrow_files() -> None:
    """All messages are found, and in each what says how long it and its body are."""
    with Child("arrow", LIMITS) as child:
        seeds = [seed[arrow.FILE] for seed in child.seeds()]
    for content in seeds:
        messages = flatbuffers.messages_of(content)
        assert content.count(flatbuffers.CONTINUATION) >= len(messages) >= 1
        ends = [message.end for message in messages]
        assert [message.start for message in messages[1:]] == ends[:-1]
        assert content[ends[-1] :].startswith(flatbuffers.CONTINUATION + bytes(4))  # the end of the messages
        if content.startswith(flatbuffers.MAGIC):
            offsets = [number.position for number in flatbuffers.footer_numbers(content)[:-1:3]]
            found = {int.from_bytes(content[offset : offset + 8], "little") for offset in offsets}
            assert found == {message.start for message in messages[1:]}  # all but the schema have a block in the footer


def test_files_are_written_in_place_of_others(tmp_path: Path) -> None:
    write_files(tmp_path / "x", {"a/b": b"1", "c": b"2"})
    write_files(tmp_path / "x", {"a/d": b"3"})
    assert read_files(tmp_path / "x") == {"a/d": b"3"}


@pytest.mark.parametrize("name", doors.NAMES)
def test_inputs_of_each_door(name: str, tmp_path: Path) -> None:
    """The seeds are answered rightly, and a few inputs made of them in one of the allowed ways."""
    progress = command.run(name, 0, 0.0, INPUTS[name], 1, Limits(), tmp_path)
    assert progress.outcomes["same"] > 0
    assert progress.failed == []


def test_how_many_inputs() -> None:
    assert set(INPUTS) == set(doors.NAMES)
    assert sum(INPUTS.values()) == 300


# Most where they are cheap: one of a model or an artifact takes as long as ten others.
INPUTS = {
    "qta": 30, "saved_model": 20, "keras_file": 20, "h5_file": 15, "frozen_graph": 20, "tflite": 15, "onnx": 20, "xgboost": 25,
    "lightgbm": 10, "parquet": 45, "arrow": 45, "csv": 35,
}  # fmt: skip
