"""Encodings of the values: float16, int8 and binary are those of the float32 values, in the same
space or not.
"""

from __future__ import annotations

import grpc
import numpy as np
import pytest

from api import as_array, reason
from maps import POSITIVE, SIGNED, maps

ENCODINGS = ("ENCODING_FLOAT16", "ENCODING_INT8", "ENCODING_BINARY")
HEADS = (
    "global_avg",
    "gem:l2",
    "global_avg:layer=stage5",
    "feature_map:layer=stage5",
    "spatial_pyramid:l2",
    "max_pool:kernel_size=2",
)


def encoded(head: str, encoding: str) -> str:
    return f"{head}{',' if ':' in head else ':'}encoding={encoding}"


def check(row, name: str, pb, plain, got, encoding: str) -> None:
    """`got` is `plain` in another encoding."""
    x = as_array(plain)
    whole = (
        list(got.shape) == list(plain.shape)
        and not got.values
        and got.encoding == pb.Encoding.Value(encoding)
    )
    row.case(
        f"{name}: form",
        whole,
        f"shape {got.shape}, {len(got.values)} values, encoding {got.encoding}",
    )
    flat = x.ravel()
    if encoding == "ENCODING_FLOAT16":
        with np.errstate(over="ignore"):
            wanted = flat.astype("<f2")
        have = np.frombuffer(got.packed_values, "<f2")
        row.case(name, have.shape == wanted.shape and _same_halves(have, wanted), "other halves")
        row.equal(f"{name}: scale", got.scale, 0.0)
    elif encoding == "ENCODING_BINARY":
        row.equal(name, np.frombuffer(got.packed_values, np.uint8), np.packbits(flat > 0))
        row.equal(f"{name}: scale", got.scale, 0.0)
    else:
        check_int8(row, name, flat, np.frombuffer(got.packed_values, np.int8), got.scale)


def _same_halves(have: np.ndarray, wanted: np.ndarray) -> bool:
    nan = np.isnan(wanted)
    return bool(
        (np.isnan(have) == nan).all() and (have.view("<u2")[~nan] == wanted.view("<u2")[~nan]).all()
    )


def check_int8(row, name: str, x: np.ndarray, codes: np.ndarray, scale: float) -> None:
    """Every value within half a step, the largest at 127 steps; a step is a normal number."""
    finite = np.isfinite(x)
    most = np.abs(x[finite]).max(initial=0)
    row.close(f"{name}: scale", scale, max(most / 127, np.finfo(np.float32).tiny), 1e-6)
    row.case(f"{name}: range", codes.shape == x.shape and (codes != -128).all(), codes.shape)
    if codes.shape != x.shape:
        return
    error = np.abs(np.float64(codes[finite]) * scale - x[finite])
    row.case(
        name, bool((error <= 0.5 * scale * (1 + 1e-4)).all()), f"off at a scale of {scale}: {error}"
    )
    if not finite.all():
        row.equal(f"{name}: infinities at the ends, NaN at 0", codes[~finite], _ends(x[~finite]))


def _ends(x: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(x), 0, np.where(x > 0, 127, -127)).astype(np.int8)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_features_of_the_model(client, ledger, photos, encoding):
    heads = [*HEADS, *(encoded(head, encoding) for head in HEADS)]
    with ledger("encodings") as row:
        for photo in ("cat.png", "rocket.jpg"):
            both = client.extract([photos[photo]], heads).results[0].features.head_results
            for head, plain, got in zip(HEADS, both[: len(HEADS)], both[len(HEADS) :], strict=True):
                check(row, f"{head} of {photo}, {encoding}", client.pb, plain, got, encoding)
                same = plain.space_id == got.space_id
                row.equal(
                    f"{head} of {photo}, {encoding}: same space",
                    same,
                    encoding != "ENCODING_BINARY",
                )


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_maps_of_many_kinds(pool, ledger, encoding):
    """Denormals, zeros, halves that round to even and values beyond the largest half, infinities,
    NaN.
    """
    heads = (
        "feature_map",
        encoded("feature_map", encoding),
        "global_avg",
        encoded("global_avg", encoding),
    )
    rng = np.random.default_rng(6)
    with ledger("encodings") as row:
        for m in maps(POSITIVE + SIGNED, 2, 6, shapes=[(5, 3, 7), (1, 1, 1), (16, 4, 4)]):
            values = m.values.copy()
            for special in (
                np.inf,
                -np.inf,
                np.nan,
                65504,
                65519.996,
                65520,
                2.0**-24,
                2.0**-25,
                1 + 2.0**-11,
            ):
                where = rng.random(values.shape) < 0.02
                where[0] = False  # one map as it is
                values[where] = special
            reply = pool.client.stub.PoolTensor(pool.request(values, heads))
            for result in reply.results:
                for plain, got in zip(
                    result.head_results[::2], result.head_results[1::2], strict=True
                ):
                    check(
                        row,
                        f"{plain.kind} of {m.name}, {encoding}",
                        pool.client.pb,
                        plain,
                        got,
                        encoding,
                    )


def test_scores_have_no_encoding(client, ledger, photos):
    with ledger("encodings") as row:
        for head in ("class_scores", "class_activation_map"):
            refused = refusal(client, photos["cat.png"], encoded(head, "ENCODING_FLOAT16"))
            row.equal(f"{head} in halves", refused, ("INVALID_ARGUMENT", "HEAD_INVALID"))
            refused = refusal(client, photos["cat.png"], f"{head}:l2")
            row.equal(f"{head}, L2-normalised", refused, ("INVALID_ARGUMENT", "HEAD_INVALID"))


def refusal(client, source, head: str) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as error:
        client.extract([source], [head])
    return error.value.code().name, reason(error.value)
