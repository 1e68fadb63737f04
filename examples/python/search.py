"""Search a folder of pictures by picture: pixpool for the vectors, FAISS or Qdrant for the
neighbours.

    pip install './client/python[bulk]' faiss-cpu            # or qdrant-client
    python examples/python/search.py photos/ query.jpg --store faiss

The vectors of the folder go to OUTPUT (default: features.parquet), which is kept: a second run asks
the server for the query alone. Vectors of different spaces must never be compared, so the query's
space id is checked against the file's.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pixpool import Client
from pixpool.bulk import run

Vectors = NDArray[np.float32]  # [N, D]; a query is [D]
HEAD = "gem:p=3,l2"  # normalised: inner products are cosines


def load(path: Path) -> tuple[list[str], Vectors, str]:
    """Names, float32 [N, D] and the space id of the pictures that have features."""
    table = pq.read_table(path, columns=["id", "gem", "gem_space_id"]).drop_null()
    vectors = np.stack([np.asarray(row, np.float32) for row in table["gem"].to_pylist()])
    return table["id"].to_pylist(), vectors, table["gem_space_id"][0].as_py()


def faiss_search(vectors: Vectors, query: Vectors, count: int) -> list[tuple[int, float]]:
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])  # exact; IndexHNSWFlat for millions
    index.add(vectors)
    scores, rows = index.search(query[None], count)
    return list(zip(rows[0].tolist(), scores[0].tolist(), strict=True))


def qdrant_search(vectors: Vectors, query: Vectors, count: int) -> list[tuple[int, float]]:
    from qdrant_client import QdrantClient, models

    client = QdrantClient(":memory:")  # or url="http://..." of a server
    size = models.VectorParams(size=vectors.shape[1], distance=models.Distance.COSINE)
    client.create_collection("pictures", vectors_config=size)
    client.upload_collection("pictures", vectors=vectors, ids=list(range(len(vectors))))
    found = client.query_points("pictures", query=query.tolist(), limit=count).points
    return [(point.id, point.score) for point in found]


STORES = {"faiss": faiss_search, "qdrant": qdrant_search}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("query", type=Path)
    parser.add_argument("--store", choices=STORES, default="faiss")
    parser.add_argument("--count", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("features.parquet"))
    parser.add_argument("--target", default="127.0.0.1:50051")
    args = parser.parse_args()

    run(args.folder, args.output, HEAD, target=args.target, progress=False)
    names, vectors, space = load(args.output)
    with Client(args.target) as client:
        got = client.extract(args.query, HEAD)
    if got.space_ids["gem"] != space:
        raise SystemExit(
            f"{args.output} is of vector space {space}, the server's is {got.space_ids['gem']}:"
            " extract anew"
        )
    for row, score in STORES[args.store](vectors, got.array[0], min(args.count, len(names))):
        print(f"{score:.4f}  {names[row]}")


if __name__ == "__main__":
    main()
