"""Slow and dead names delay nobody else (SPEC §3; DESIGN: 32 look-ups for each worker, 8 for each profile)."""

import json

import pytest

from peers import names


def test_dead_names_delay_nobody_else(tmp_path):
    """Four profiles ask for dead names without end; a fifth has its good names and addresses as fast as without them."""
    if not names.can_enter():
        pytest.skip("namespaces cannot be made here")
    result = json.loads(names.enter("names_under_load", str(tmp_path)))
    for kind, quiet in result["quiet"].items():
        noisy = result["noisy"][kind]
        assert noisy < max(10 * quiet, 100), f"{kind}: p99 {noisy:.1f} ms, {quiet:.1f} ms without dead names"
    assert result["answers"].get("504"), result["answers"]
    assert set(result["reasons"]) <= {"", "connect_timeout", "client_gone", "dns"}, result["reasons"]
    assert result["threads"] < 200, f"{result['threads']} threads for look-ups"
    assert result["status"] == 0
