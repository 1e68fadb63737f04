"""The image's bill of materials, made for a small image, follows its schema."""

from __future__ import annotations

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from small_image import make, small_image  # noqa: F401


def test_it_follows_the_schema(image):
    text = make(image)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(
        text.replace('"type": "library"', '"type": "thing"')
    )
