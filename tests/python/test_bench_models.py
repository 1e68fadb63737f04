"""What the benchmark makes its models of: pictures to judge on that are none to calibrate on, and
networks that act like learnt ones.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import photos  # noqa: E402


def test_a_photograph_is_on_one_side_only(tmp_path):
    source = tmp_path / "source" / "deeper"
    source.mkdir(parents=True)
    for number in range(9):  # each of one colour, which its crops keep
        Image.new("RGB", (90 + number, 60), (25 * number, 0, 255 - 25 * number)).save(
            source / f"{number}.png"
        )
    (source / "note.txt").write_text("not a picture")
    photos.make(tmp_path / "out", source.parent, 4)
    colours = {}
    for side in ("calibrate", "judge"):
        files = sorted((tmp_path / "out" / side).iterdir())
        colours[side] = {round(Image.open(path).getpixel((9, 9))[0] / 25) for path in files}
        assert len(files) == 4 * len(colours[side])
    assert len(colours["judge"]) == 3 and len(colours["calibrate"]) == 6
    assert not colours["judge"] & colours["calibrate"]


@pytest.mark.parametrize("name", ["mobilenetv2", "resnet50"])
def test_random_networks_keep_their_ranges_and_are_the_same_each_time(name, torchvision):
    import random_networks

    network = getattr(random_networks, name)()
    spreads = []
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.register_forward_hook(lambda _m, _i, out: spreads.append(out.std().item()))
    picture = random_networks._crops(each=1)
    vectors = network(picture)
    # As torchvision makes them, the spread falls to 1e-9 on the way through mobilenetv2 and grows
    # to 60 in resnet50.
    assert min(spreads) > 0.3 and max(spreads) < 3
    again = getattr(random_networks, name)()(picture)
    assert torch.equal(vectors, again)
    assert np.all(np.isfinite(vectors.detach().numpy()))
