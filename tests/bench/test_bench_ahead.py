"""The benchmark of exported queries at its smallest, without native libraries: every contest is held. No timing is asserted."""

from __future__ import annotations

import json

from rich.console import Console

from bench import ahead
from bench.timing import Effort

BRIEFLY = Effort(rounds=2, least=1, seconds=0.0, warm_seconds=0.0)
TINY = ahead.Settings(rows=(50, 2_000), scale=0.001, effort=BRIEFLY, starts=1, spark=False)


def test_every_contest_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(ahead, "native_missing", lambda: "not wanted here")
    monkeypatch.setenv("QTENSOR_TRUST", str(tmp_path / "trust"))
    console = Console(record=True, width=120, highlight=False)
    ahead.run(TINY, console, tmp_path, "tiny")
    results = json.loads((tmp_path / "tiny.json").read_text())
    contests = {
        one["name"]: {c["name"] for c in one["contestants"]} for section in results["sections"] for one in section["contests"]
    }
    assert contests == {
        "50 rows": {ahead.TENSORFLOW, ahead.SESSION, ahead.ARTIFACT},
        "2,000 rows": {ahead.TENSORFLOW, ahead.SESSION, ahead.ARTIFACT},
        "2,000 rows, cold": {ahead.ARTIFACT, "of that, beyond importing JAX"},
        "Q6 SF0.001 in memory": {ahead.SESSION, ahead.ARTIFACT},
        "Q1 SF0.001 in memory": {ahead.SESSION, ahead.ARTIFACT},
    }
    assert [export["name"] for export in results["exports"]] == ["headline", "q6", "q1"]
    assert all(export["artifact_bytes"] > 0 for export in results["exports"])
    assert (tmp_path / "tiny.png").exists()
    screen = console.export_text()
    assert "Without native libraries: not wanted here" in screen
    assert "cold start of the artifact, beyond importing JAX" in screen
