"""The classes of pixpool.heads that need classifier, tokens or vectors of a model.

Made by scripts/make_heads.py from the server's table; do not edit.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from pixpool._head_base import Head


@dataclasses.dataclass(frozen=True)
class ClassScores(Head):
    """Scores of the model's classifier, for any input size; values [K].

    Use it for labels, at any input size. Reference: Lin, Chen, Yan, "Network in Network", 2013.

    top_k: number of highest scores; 0 gives all in class order (0 to 100000; default 5).
    score_type: what the scores are (softmax, logits; default softmax).
    """

    KIND = "class_scores"
    top_k: int | None = None
    score_type: Literal["softmax", "logits"] | None = None


@dataclasses.dataclass(frozen=True)
class ClassActivationMap(Head):
    """Where on the picture the evidence for a class lies; values [H, W, or a PNG].

    Use it for where the evidence for a class lies, as values or a drawn heatmap. Reference: Zhou et
    al., "Learning Deep Features for Discriminative Localization", 2016.

    class_index: class, below the number of classes (0 or more; default the best of each picture).
    format: form of the map (floats, png, png_overlay; default floats).
    """

    KIND = "class_activation_map"
    class_index: int | None = None
    format: Literal["floats", "png", "png_overlay"] | None = None


@dataclasses.dataclass(frozen=True)
class ClassToken(Head):
    """The class token of a transformer's block, or one of its registers; values [C].

    Use it for transformers: the picture as one vector, at any block. Reference: Dosovitskiy et al.,
    "An Image is Worth 16x16 Words", 2021.

    register: register in place of the class token, counted after it, or from the first prefix token
        where there is no class token (1 to 1024; default the class token).
    """

    KIND = "class_token"
    register: int | None = None


@dataclasses.dataclass(frozen=True)
class MeanToken(Head):
    """Mean over all tokens of a transformer's block, those before the map's too; values [C].

    Use it for transformers whose own pooling counts the class token; on a map alone, global_avg.
    """

    KIND = "mean_token"


@dataclasses.dataclass(frozen=True)
class Embedding(Head):
    """The model's own embedding: what the call of its authors returns; values [D].

    Use it for the vector that the model was trained to give, at one size of input.
    """

    KIND = "embedding"


@dataclasses.dataclass(frozen=True)
class BundleHead(Head):
    """A trained head of the bundle, such as attention pooling or NetVLAD; values [D].

    Use it for pooling that was learnt with the network or after it.

    name: name of the trained head (required).
    """

    KIND = "bundle_head"
    name: str
