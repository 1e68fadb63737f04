"""Families whose layers are known, export for export; the quickest are in tests/python too."""

from __future__ import annotations

import pytest

from known_families import FAMILIES, assert_exports

pytest.importorskip("torchvision")


@pytest.mark.parametrize("spec", FAMILIES)
def test_families_export_with_both_engines(spec, tmp_path):
    assert_exports(spec, tmp_path)
