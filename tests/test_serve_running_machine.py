"""Reports name what their figures were taken on."""

from __future__ import annotations

import datetime

from serve.running.machine import cpu_name, machine


def test_the_machine_is_named() -> None:
    assert cpu_name()
    named = machine()
    assert set(named) == {"date", "commit", "cpu", "cores", "python", "torch", "engine"}
    assert named["date"] == datetime.date.today().isoformat()
    assert named["cores"] >= 1
