"""Pooling heads as objects: `Gem(p=4, layer="stage5", l2_normalized=True)`.

One class per kind of the API; docs/heads.md says more of each. None means the server's default, and
ranges are the server's to check. Wherever heads are wanted, a text such as
"gem:p=4,layer=stage5,l2" (see `pixpool.parse_head`) or a protobuf `Head` will do as well. In
shapes, C is the number of the layer's channels, H and W are the sides of its map, D is the length
of the model's vector.

Made by scripts/make_heads.py from the server's table; do not edit.
"""

from __future__ import annotations

from pixpool._head_base import Head
from pixpool._heads_of_maps import (
    AdaptiveAvg,
    AdaptiveMax,
    AvgMax,
    AvgPool,
    CatAvgMax,
    ConvPool,
    Crow,
    FeatureMap,
    Gem,
    GlobalAvg,
    GlobalMax,
    Lp,
    Lse,
    MaxPool,
    MaxUnpool,
    Rmac,
    Scda,
    SpatialPyramid,
    Spoc,
)
from pixpool._heads_of_models import (
    BundleHead,
    ClassActivationMap,
    ClassScores,
    ClassToken,
    Embedding,
    MeanToken,
)

__all__ = [
    "AdaptiveAvg",
    "AdaptiveMax",
    "AvgMax",
    "AvgPool",
    "BundleHead",
    "CatAvgMax",
    "ClassActivationMap",
    "ClassScores",
    "ClassToken",
    "ConvPool",
    "Crow",
    "Embedding",
    "FeatureMap",
    "Gem",
    "GlobalAvg",
    "GlobalMax",
    "Head",
    "Lp",
    "Lse",
    "MaxPool",
    "MaxUnpool",
    "MeanToken",
    "Rmac",
    "Scda",
    "SpatialPyramid",
    "Spoc",
]
