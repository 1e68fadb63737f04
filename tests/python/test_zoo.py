"""The exporter on families that people use, with random weights; `./test zoo` has more of them."""

from __future__ import annotations

import pytest

from known_families import QUICK, assert_exports
from pixpool.export.__main__ import main


@pytest.mark.parametrize("spec", QUICK)
def test_families_export_with_both_engines(spec, tmp_path, torchvision):
    assert_exports(spec, tmp_path)


def test_a_name_that_is_not_there(tmp_path, torchvision, capsys):
    assert main(["timm:no_such_model", "--random-weights", "--out", str(tmp_path)]) == 1
    assert "Is the name right?" in capsys.readouterr().err
    assert not list(tmp_path.glob("*/1"))
