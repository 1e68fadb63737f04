"""Tokens: which calls come in, under which name, and a file that changes."""

from __future__ import annotations

import hashlib
import re
import subprocess
import time
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tritonclient import grpc as triton

from api import reason
from exposition import total

SEARCH, NIGHTLY, NEXT = "search-7f3a", "nightly-91bc", "search-next-02de"


def line(name: str, token: str, *terms: str) -> str:
    return " ".join([name, hashlib.sha256(token.encode()).hexdigest(), *terms]) + "\n"


@pytest.fixture(scope="module", name="guarded")
def guarded_fixture(start_server, tmp_path_factory):
    """A server that wants tokens, and the file that says which."""
    path = tmp_path_factory.mktemp("tokens") / "tokens"
    path.write_text("# test\n" + line("search", SEARCH) + line("nightly", NIGHTLY))
    return start_server("--tokens", str(path)), path


@pytest.fixture(name="stub")
def stub_fixture(api, guarded):
    with grpc.insecure_channel(guarded[0].target) as channel:
        yield api.rpc.FeatureServiceStub(channel)


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def models(api, stub, metadata=()) -> None:
    stub.ListModels(api.pb.ListModelsRequest(), timeout=20, metadata=metadata)


def metric(server, name: str) -> float | None:
    found = re.search(rf"^{re.escape(name)} (\S+)$", server.get("/metrics")[1], re.M)
    return float(found[1]) if found else None


def becomes(condition, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ((), "wants a token"),
        (bearer("search-7f3b"), "does not know the token"),
        (bearer(hashlib.sha256(SEARCH.encode()).hexdigest()), "does not know the token"),
        ((("authorization", f"Basic {SEARCH}"),), "does not know the token"),
        ((("authorization", SEARCH),), "does not know the token"),
        (bearer(SEARCH) + bearer(NIGHTLY), "does not know the token"),
        ((("x-api-key", SEARCH),), "wants a token"),
    ],
    ids=["none", "wrong", "its digest", "basic", "no scheme", "two", "another header"],
)
def test_no_call_comes_in_without_a_good_token(api, guarded, stub, photos, metadata, says):
    server = guarded[0]
    refused = {"code": "UNAUTHENTICATED", "method": "ExtractFeatures"}
    before = total(server, "pixpool_requests_total", **refused)
    request = api.pb.ExtractFeaturesRequest(
        images=[api.pb.Image(encoded=photos["cat.png"].read_bytes())]
    )
    with pytest.raises(grpc.RpcError) as one:
        stub.ExtractFeatures(request, timeout=20, metadata=metadata)
    with pytest.raises(grpc.RpcError) as many:
        list(stub.StreamFeatures(iter(()), timeout=20, metadata=metadata))
    with pytest.raises(grpc.RpcError) as question:
        models(api, stub, metadata)
    for error in (one, many, question):
        assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED
        assert reason(error.value) == "TOKEN_INVALID"
        assert says in error.value.details()
    assert total(server, "pixpool_requests_total", **refused) == before + 1


def test_a_call_has_the_name_of_its_token(api, guarded, stub):
    server = guarded[0]
    before = {
        name: metric(server, f'pixpool_token_calls_total{{token="{name}"}}')
        for name in ("search", "nightly")
    }
    for token in (SEARCH, NIGHTLY, SEARCH):
        models(api, stub, bearer(token))
    for name, count in {"search": 2, "nightly": 1}.items():
        now = metric(server, f'pixpool_token_calls_total{{token="{name}"}}')
        assert now == before[name] + count
    assert becomes(
        lambda: (
            [row["caller"] for row in server.lines("request") if row["code"] == "OK"][-3:]
            == ["@search", "@nightly", "@search"]
        )
    )
    for secret in (SEARCH, NIGHTLY):
        assert secret not in server.log()
        assert secret not in server.get("/metrics")[1]
        assert hashlib.sha256(secret.encode()).hexdigest() not in server.log()


def test_health_asks_for_no_token_and_reflection_is_off(guarded):
    with grpc.insecure_channel(guarded[0].target) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=20)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        with pytest.raises(grpc.RpcError) as error:
            list(stub.ServerReflectionInfo(iter([ask]), timeout=20))
        assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_clients_of_kserve_need_one_too(guarded):
    client = triton.InferenceServerClient(guarded[0].target)
    with pytest.raises(triton.InferenceServerException, match="wants a token"):
        client.is_server_live()
    assert client.is_server_live(headers={"authorization": f"Bearer {SEARCH}"})
    client.close()


def test_our_clients_bring_it(api, guarded, bin_dir, photos, tmp_path):
    import pixpool
    from pixpool.bulk import run

    server = guarded[0]
    token = tmp_path / "token"
    token.write_text(SEARCH + "\n")
    cat = str(photos["cat.png"])
    for words in (
        ["models"],
        ["extract", cat],
        ["extract", "--stream", cat],
        ["bench", "--requests", "20", "--warm-up", "0", cat],
        ["bench", "--requests", "20", "--warm-up", "0", "--stream", cat],
        ["bench", "--requests", "20", "--warm-up", "0", "--api", "kserve", cat],
    ):
        command = [bin_dir / "pixpool", *words, "--target", server.target]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 4, done.stderr
        assert "UNAUTHENTICATED (TOKEN_INVALID): this server wants a token" in done.stderr
        command += ["--token-file", token]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    with pixpool.Client(server.target) as client:
        with pytest.raises(pixpool.PixpoolError, match="TOKEN_INVALID"):
            client.models()
    with pixpool.Client(server.target, token_file=token) as client:
        assert client.models()
        assert len(list(client.stream([cat]))) == 1
    output = tmp_path / "out.npy"
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "cat.png").write_bytes(Path(cat).read_bytes())
    done = run(folder, output, target=server.target, token_file=token, progress=False)
    assert (done.images, done.failed) == (1, 0)


def test_a_token_has_limits_and_a_class_of_its_own(api, start_server, photos, tmp_path):
    import pixpool

    path = tmp_path / "tokens"
    path.write_text(
        line("nightly", NIGHTLY, "priority=bulk", "images-per-second=4") + line("search", SEARCH)
    )
    server = start_server("--tokens", str(path))
    picture = photos["cat.png"].read_bytes()

    def refusals(name: str) -> float:
        labels = f'priority="[a-z]+",reason="QUOTA_EXCEEDED",token="{name}"'
        series = rf"^pixpool_requests_shed_total{{{labels}}} (\S+)$"
        return sum(map(float, re.findall(series, server.get("/metrics")[1], re.M)))

    request = api.pb.ExtractFeaturesRequest(
        images=[api.pb.Image(encoded=picture)], priority=api.pb.PRIORITY_INTERACTIVE
    )
    wide = api.pb.ExtractFeaturesRequest(images=[api.pb.Image(encoded=picture)] * 30)
    with grpc.insecure_channel(server.target) as channel:
        stub = api.rpc.FeatureServiceStub(channel)
        # More than a second's worth is let in at once, and then has to be waited for.
        assert len(stub.ExtractFeatures(wide, timeout=60, metadata=bearer(NIGHTLY)).results) == 30
        with pytest.raises(grpc.RpcError) as refused:
            stub.ExtractFeatures(request, timeout=20, metadata=bearer(NIGHTLY))
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert reason(refused.value) == "QUOTA_EXCEEDED"
        assert "images-per-second=4" in refused.value.details()
        pushback = dict(refused.value.trailing_metadata())["grpc-retry-pushback-ms"]
        assert 0 < int(pushback) <= 10_000
        for _ in range(20):
            stub.ExtractFeatures(request, timeout=20, metadata=bearer(SEARCH))
    assert (refusals("nightly"), refusals("search")) == (1, 0)

    # Our clients come back when they may.
    retry = pixpool.RetryPolicy(max_attempts=50)
    token = tmp_path / "token"
    token.write_text(NIGHTLY)
    with pixpool.Client(server.target, token_file=token, retry=retry) as client:
        results = list(client.stream([picture] * 4, heads=["global_avg"], timeout=60))
        assert [result.error for result in results] == [None] * 4
        assert client.extract([picture], ["global_avg"], timeout=60)[0].error is None
    assert refusals("nightly") > 1
    classes = {
        row["caller"]: row["priority"] for row in server.lines("request") if row["code"] == "OK"
    }
    assert classes == {"@nightly": "bulk", "@search": "interactive"}
    assert metric(server, "pixpool_overloaded") == 0


def test_the_file_is_read_again(api, start_server, tmp_path):
    path = tmp_path / "tokens"
    path.write_text(line("search", SEARCH) + line("nightly", NIGHTLY))
    server = start_server("--tokens", str(path))

    def comes_in(token: str) -> bool:
        try:
            models(api, stub, bearer(token))
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAUTHENTICATED
            return False
        return True

    with grpc.insecure_channel(server.target) as channel:
        stub = api.rpc.FeatureServiceStub(channel)
        assert comes_in(SEARCH) and comes_in(NIGHTLY) and not comes_in(NEXT)
        path.write_text(line("search", SEARCH) + line("search", NEXT))
        assert becomes(lambda: comes_in(NEXT))
        assert comes_in(SEARCH) and not comes_in(NIGHTLY)
        assert metric(server, 'pixpool_token_calls_total{token="nightly"}') is None

        path.write_text(line("search", NEXT) + f"nightly {NIGHTLY}\n")
        assert becomes(lambda: metric(server, "pixpool_tokens_refused") == 1)
        (said,) = server.lines("tokens_refused")
        assert said["level"] == "warning"
        assert said["message"].startswith(f"--tokens {path}: line 2: the second word must be a SHA")
        assert NIGHTLY not in server.log()
        assert comes_in(SEARCH) and comes_in(NEXT), "those before are in force"
        path.unlink()
        assert becomes(lambda: len(server.lines("tokens_refused")) == 2)
        assert comes_in(NEXT)
        path.write_text(line("search", NEXT))
        assert becomes(lambda: metric(server, "pixpool_tokens_refused") == 0)
        assert comes_in(NEXT) and not comes_in(SEARCH)


def test_a_bad_file_ends_the_start(start_server, tmp_path):
    for name, text, problem in (
        ("none", None, "cannot be opened: No such file or directory"),
        ("empty", "# nobody\n", "holds no token"),
        ("plain", f"search {SEARCH}\n", "line 1: the second word must be a SHA-256"),
    ):
        path = tmp_path / name
        if text is not None:
            path.write_text(text)
        server = start_server("--tokens", str(path), wait=False)
        assert server.wait() == 1
        assert f"pixpool-server: --tokens {path}: {problem}" in server.log()
        assert SEARCH not in server.log()
    server = start_server("--tokens", "x", "--caller-header", "x-caller", wait=False)
    assert server.wait() == 2
    assert "--tokens and --caller-header both say whose a call is" in server.log()
