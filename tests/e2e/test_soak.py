"""A few seconds of tests/soak/run, which is meant for minutes; and whether bench/soak would notice what it is there for."""

import os
import pathlib
import subprocess
import sys
import time

import pytest

SOAK = pathlib.Path(__file__).resolve().parents[1] / "soak"
sys.path.append(str(SOAK))

import values  # noqa: E402
import verdict  # noqa: E402


def test_ten_seconds(tmp_path):
    done = subprocess.run(
        [sys.executable, SOAK / "run", "--seconds", "10", "--folder", tmp_path], capture_output=True, text=True, timeout=150,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def samples(value, count=60):
    """A minute of quiet, then `count` samples with faults, and a rest; `value` gives each its number by its index."""
    phases = ["quiet"] * 12 + ["faults"] * count + ["rest"] * 4
    return [{"at": 5.0 * number, "phase": phase, "rss": value(number)} for number, phase in enumerate(phases)]


MIB = verdict.MIB


@pytest.mark.parametrize("value,holds", [
    (lambda number: 20 * MIB, True),
    (lambda number: 20 * MIB + number % 7 * MIB, True),                # it goes up and down
    (lambda number: (16 if number < 12 else 20) * MIB, True),          # warm once, and then flat
    (lambda number: 20 * MIB + number * MIB // 20, True),              # 2 MiB
    (lambda number: 20 * MIB + number * MIB // 8, False),              # 5 MiB
    (lambda number: 20 * MIB + number % 7 * MIB + number * MIB // 4, False),
], ids=["flat", "waves", "warm", "little", "leak", "leak and waves"])
def test_soak_finds_what_grows(value, holds):
    rules = verdict.Rules()
    rules.flat("rss", samples(value), verdict.RSS_GROWTH, MIB, " MiB")
    assert (not rules.broken) == holds, rules.lines


def test_soak_knows_no_verdict_without_samples():
    rules = verdict.Rules()
    rules.flat("rss", [], verdict.RSS_GROWTH)
    assert rules.broken


def slow(seconds, count=2000):
    """Two in a hundred are."""
    return [seconds if number % 50 == 0 else 0.0005 for number in range(count)]


@pytest.mark.parametrize("quiet,later,bare,found", [
    (0.010, 0.019, 0.010, "holds"), (0.010, 0.021, 0.010, "BROKEN"), (0.001, 0.004, 0.010, "holds"), (0.001, 0.006, 0.010, "BROKEN"),
    (0.010, 0.021, 0.021, "left out"), (0.010, 0.019, 0.021, "holds"),
], ids=["less than twice", "more than twice", "noise", "more than noise", "so is the machine", "less than twice all the same"])
def test_soak_finds_what_is_late(quiet, later, bare, found):
    rules = verdict.Rules()
    rules.latency("x", slow(quiet), slow(later), (slow(0.010), slow(bare)))
    assert rules.lines[0].startswith(found) and len(rules.broken) == (found == "BROKEN"), rules.lines


def test_soak_tells_what_is_too_little_to_judge():
    rules = verdict.Rules()
    rules.latency("x", slow(0.010, 200), slow(0.9, 200), (slow(0.010), slow(0.010)))
    rules.latency("y", slow(0.010), slow(0.9))
    assert [line[:4] for line in rules.lines] == ["told", "told"] and not rules.broken


@pytest.mark.parametrize("begins,over", [
    ([number / 5 for number in range(100)], 0),                                       # 5 a second
    ([0.0] * 5 + [1 + number / 5 for number in range(100)], 0),                       # all at once, then no more than come back
    ([number / 5 for number in range(50)] + [10 + number / 5 for number in range(50)] + [10.0] * 5, 0),
    ([0.0] * 10, 5),                                                                  # twice as many at once
    ([number / 5 for number in range(50)] + [20.0] * 8 + [20 + number / 5 for number in range(50)], 4),
], ids=["even", "burst", "burst in between", "double", "a gap and too many"])
def test_soak_finds_what_is_over_a_rate(begins, over):
    assert verdict.beyond_the_rate([(at, at) for at in sorted(begins)], 5) == pytest.approx(over, abs=1.01 if over == 0 else 0.5)


def test_soak_finds_wrong_values():
    held = values.Values("a")
    before = time.time()
    held.change("b", lambda value: None)
    after = time.time()
    assert held.current == "b" and held.changes == 1
    for value, at, wrong in [
        ("a", before - 100, False), ("a", after + values.LATE - 0.5, False), ("a", after + values.LATE + 0.5, True),
        ("b", after, False), ("b", after + 1e6, False), ("b", before - 1, True), ("c", after, True), ("", after, True),
    ]:
        assert bool(held.fault(value, at)) == wrong, (value, at - before)
