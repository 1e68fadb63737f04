"""What else the folders of Hugging Face's transformers hold; tests/python/test_hub.py has one of
each architecture.
"""

import pytest

pytest.importorskip("transformers")

from hub_families import MORE_FAMILIES, assert_bundle_gives_what_the_package_does  # noqa: E402


@pytest.mark.parametrize("name", MORE_FAMILIES)
def test_a_bundle_gives_what_the_packages_own_call_does(name, tmp_path):
    assert_bundle_gives_what_the_package_does(MORE_FAMILIES[name], tmp_path)
