"""PCA-whitenings: the fit against independent computations, what it refuses, and the pictures."""

import numpy as np
import pytest
import torch
from PIL import Image

from pixpool.export.errors import ExportError
from pixpool.export.head_spec import HeadSpec
from pixpool.export.projection import fit_whitening, list_pictures, vectors_of
from pixpool.export.recipe import Recipe


def some_vectors(count, size, seed=0):
    """Vectors of falling variance in mixed directions, not centred, of all lengths, float32."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(size, size)) * np.geomspace(1, 0.05, size)
    vectors = rng.normal(size=(count, size)) @ mixing.T + rng.normal(size=size)
    return (vectors * rng.uniform(0.5, 20, (count, 1))).astype(np.float32)


def unit(vectors):
    vectors = vectors.astype(np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def cosines(a, b):
    return (unit(a) * unit(b)).sum(axis=1)


# More vectors than values, and fewer, which takes another way through the algebra.
@pytest.mark.parametrize(("count", "size", "kept"), [(300, 24, 24), (300, 24, 10), (40, 200, 39)])
def test_whitened_vectors_have_unit_covariance(count, size, kept):
    vectors = some_vectors(count, size)
    fitted = fit_whitening(vectors, kept)
    assert fitted.matrix.shape == (kept, size) and fitted.mean.shape == (size,)
    # As the server holds them.
    matrix, mean = fitted.matrix.astype(np.float32), fitted.mean.astype(np.float32)
    whitened = (unit(vectors) - mean) @ matrix.T.astype(np.float64)
    np.testing.assert_allclose(np.cov(whitened.T), np.eye(kept), atol=2e-4)
    np.testing.assert_allclose(whitened.mean(axis=0), 0, atol=2e-4)


@pytest.mark.parametrize(("count", "size"), [(300, 24), (40, 200)])
def test_fit_equals_the_singular_value_decomposition(count, size):
    vectors = some_vectors(count, size)
    centred = unit(vectors) - unit(vectors).mean(axis=0)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    kept = min(12, len(singular))
    fitted = fit_whitening(vectors, kept)
    np.testing.assert_allclose(fitted.mean, unit(vectors).mean(axis=0), atol=1e-12)
    expected = axes[:kept] / (singular[:kept, None] / np.sqrt(count - 1))
    signs = np.sign((expected * fitted.matrix).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(fitted.matrix, signs * expected, rtol=1e-6, atol=1e-7)
    share = (singular[:kept] ** 2).sum() / (singular**2).sum()
    assert fitted.explained_variance == pytest.approx(share, rel=1e-9)
    # Each vector's coordinates are U^T (x - mean) over the standard deviations: the left singular
    # vectors, scaled.
    got = centred @ fitted.matrix.T
    left = np.linalg.svd(centred, full_matrices=False)[0][:, :kept] * np.sqrt(count - 1)
    np.testing.assert_allclose(got, left * signs.T, rtol=1e-5, atol=1e-6)


def test_fewer_dimensions_are_the_leading_ones():
    vectors = some_vectors(100, 16)
    whole, part = fit_whitening(vectors), fit_whitening(vectors, 5)
    np.testing.assert_array_equal(part.matrix, whole.matrix[:5])
    assert whole.matrix.shape == (16, 16)
    assert whole.explained_variance == pytest.approx(1.0)
    assert 0 < part.explained_variance < 1


def test_length_and_order_of_the_vectors_do_not_matter():
    vectors = some_vectors(100, 16)
    fitted = fit_whitening(vectors, 8)
    rng = np.random.default_rng(5)
    other = fit_whitening((vectors * rng.uniform(0.1, 9, (100, 1)))[rng.permutation(100)], 8)
    np.testing.assert_allclose(other.matrix, fitted.matrix, rtol=1e-3, atol=1e-3)


def test_signs_are_fixed_and_runs_agree():
    vectors = some_vectors(100, 16)
    fitted, again = fit_whitening(vectors), fit_whitening(vectors.copy())
    np.testing.assert_array_equal(fitted.matrix, again.matrix)
    np.testing.assert_array_equal(fitted.mean, again.mean)
    strongest = np.abs(fitted.matrix).argmax(axis=1)
    assert (fitted.matrix[np.arange(16), strongest] > 0).all()
    # Mirrored vectors turn the axes round before the rule for signs is applied, and not after it.
    few = some_vectors(10, 40)
    mirrored = fit_whitening(-few)
    np.testing.assert_allclose(mirrored.matrix, fit_whitening(few).matrix, rtol=1e-6, atol=1e-6)


def test_directions_without_variance_are_left_out():
    vectors = np.zeros((200, 12), np.float32)
    vectors[:, ::2] = np.abs(some_vectors(200, 6))
    fitted = fit_whitening(vectors)
    assert fitted.matrix.shape == (6, 12)  # 6 channels that live, and nothing fixes their length
    assert np.abs(fitted.matrix[:, 1::2]).max() < 1e-9
    assert np.abs(fitted.matrix).max() < 1e4
    with pytest.raises(ExportError, match="vary in only 6 directions, so 7 dimensions cannot be"):
        fit_whitening(vectors, 7)
    doubled = np.concatenate([vectors[:5]] * 40)  # 5 pictures, 40 times each
    assert len(fit_whitening(doubled).matrix) == 4
    with pytest.raises(ExportError, match="vary in only 4 directions.*ask for at most 4"):
        fit_whitening(doubled, 5)


@pytest.mark.parametrize(
    ("vectors", "dimensions", "message"),
    [
        (some_vectors(16, 40), 16, "16 dimensions need at least 17 pictures; there are 16"),
        (some_vectors(1, 40), None, "a fit needs at least 2 pictures; there are 1"),
        (some_vectors(50, 8), 9, "dimensions is 9, but the head gives only 8 values"),
        (np.ones((50, 8), np.float32), None, "all pictures give the same vector"),
        (np.zeros((50, 8), np.float32), None, "all pictures give the same vector"),
    ],
)
def test_fits_that_are_refused(vectors, dimensions, message):
    with pytest.raises(ExportError, match=message):
        fit_whitening(vectors, dimensions)


def save_picture(path, seed, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).save(path)


def test_pictures_of_a_folder_and_below_in_order(tmp_path):
    for name in ("b.png", "a/2.JPG", "a/10.jpeg", "c.webp", "B.png"):
        save_picture(tmp_path / name, 1)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    found = [p.relative_to(tmp_path).as_posix() for p in list_pictures(tmp_path)]
    assert found == ["B.png", "a/10.jpeg", "a/2.JPG", "b.png", "c.webp"]
    with pytest.raises(ExportError, match="does not exist"):
        list_pictures(tmp_path / "nowhere")
    with pytest.raises(ExportError, match="holds no pictures"):
        list_pictures(tmp_path / "folder.png")


def two_layers(images):
    """In place of a graph: the pixels as a map, and a brighter one at half the size."""
    x = images.permute(0, 3, 1, 2).float()
    return x, 2 * torch.nn.functional.avg_pool2d(x, 2)


def test_vectors_of_pictures_of_many_sizes(tmp_path):
    """The recipe that keeps sizes: every picture is its own batch or shares it with its likes."""
    sizes = [(40, 30), (40, 30), (64, 48), (40, 30)] * 6
    paths = []
    for at, size in enumerate(sizes):
        paths.append(tmp_path / f"{at:02}.png")
        save_picture(paths[-1], at, size)
    recipe = Recipe(resize="none", crop="none")
    wanted = [(1, HeadSpec.parse("global_avg")), (0, HeadSpec.parse("cat_avg_max"))]
    lines = []
    pooled = vectors_of(two_layers, recipe, paths, wanted, lines.append)
    assert [v.shape for v in pooled] == [(24, 3), (24, 6)] and lines == []
    for path, mean, both in zip(paths, *pooled, strict=True):
        pixels = np.asarray(Image.open(path)).astype(np.float64)
        np.testing.assert_allclose(mean, 2 * pixels.mean((0, 1)), rtol=1e-6)
        expected = [*pixels.mean((0, 1)), *pixels.max((0, 1))]
        np.testing.assert_allclose(both, expected, rtol=1e-6)


def test_unreadable_pictures_are_named_and_left_out(tmp_path):
    save_picture(tmp_path / "a.png", 1)
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "c.png").write_bytes(whole[: len(whole) // 2])
    wanted = [(0, HeadSpec.parse("global_avg"))]
    lines = []
    pictures = list_pictures(tmp_path)
    (vectors,) = vectors_of(two_layers, Recipe(), pictures, wanted, lines.append)
    assert vectors.shape == (1, 3)
    assert len(lines) == 2
    assert lines[0].startswith(f"left out {tmp_path / 'b.jpg'}: cannot identify image file")
    assert lines[1].startswith(f"left out {tmp_path / 'c.png'}: ")
    with pytest.raises(ExportError, match="none of 2 pictures can be read"):
        vectors_of(two_layers, Recipe(), pictures[1:], wanted, lines.append)


def test_values_that_are_not_finite_and_graphs_that_fail_name_the_picture(tmp_path):
    save_picture(tmp_path / "a.png", 1)
    wanted = [(0, HeadSpec.parse("global_avg"))]
    pictures = [tmp_path / "a.png"]
    with pytest.raises(ExportError, match="global_avg gives values that are not finite on .*a.png"):
        vectors_of(lambda i: (i[:, :1].float() / 0,), Recipe(), pictures, wanted, print)

    def fails(_images):
        raise RuntimeError("first line\nRuntimeError: too small")

    with pytest.raises(ExportError, match=r"fails on .*a.png \(224 x 224 pixels\).*too small"):
        vectors_of(fails, Recipe(), pictures, wanted, print)
