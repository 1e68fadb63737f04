"""Every family of timm is tried once: exported and equal, as the exporter checks by itself, or
refused with its reason; docs/models.md says which.
"""

import pytest
import torch

from pixpool.export.__main__ import main
from zoo_members import LARGE, MEMBERS, PAGE, rows_of, tried


@pytest.mark.parametrize("family", sorted(MEMBERS))
def test_a_family_is_as_the_page_says(family, tmp_path, capsys):
    pytest.importorskip("torchvision")

    def export(arguments):
        torch.manual_seed(0)
        return main(arguments), capsys.readouterr().err

    assert tried(family, export, tmp_path) == rows_of(PAGE.read_text(encoding="utf-8"))[family]


def test_no_family_is_left_out():
    pytest.importorskip("torchvision")
    from timm.models._registry import _model_to_module

    modules = set(_model_to_module.values())
    assert len(modules) > 80
    assert modules == MEMBERS.keys() | LARGE
    page = PAGE.read_text(encoding="utf-8")
    assert rows_of(page).keys() == MEMBERS.keys()
    assert all(f"`{family}`" in page for family in LARGE)
