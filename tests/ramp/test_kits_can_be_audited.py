"""An audit takes inputs and labels of any kind that a RAMP kit may have."""

from __future__ import annotations

from pathlib import Path

import pytest
from ramp_kits import KITS, Kit

from hepchallenge.audit import audit
from hepchallenge.contract import load_challenge
from hepchallenge.findings import Status

FLAWED = {
    # Its largest metric writes into the truth, which is what the kit is for.
    "everything_its_own": {"metrics inputs"},
    # Neighbours in time resemble each other.
    "time_series_xarray_opened_lazily": {"leak row order test"},
}


@pytest.mark.parametrize("kit", KITS, ids=lambda kit: kit.name)
def test_a_ramp_kit_is_looked_at_whatever_its_data_are(kit: Kit, tmp_path: Path) -> None:
    if "xarray" in kit.name:
        pytest.importorskip("xarray", reason="the kit reads its data with xarray")
    found = audit(load_challenge(kit.write(tmp_path)), data_label=kit.data_label).findings
    assert len(found) > 10
    assert [finding for finding in found if "could not be looked at" in finding.fact] == []
    failed = {finding.check for finding in found if finding.status is Status.FAIL}
    assert failed == FLAWED.get(kit.name, set())
