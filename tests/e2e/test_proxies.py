"""A proxy that the environment names, as it must in many companies: it is not asked for a server
on the same machine, and where it stands in the way the error says which variable names it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess

import pytest

# Nobody listens there.
PROXY = "http://127.0.0.1:1"
ELSEWHERE = "pixpool.example.com:50051"


VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")


@pytest.fixture(autouse=True, params=VARIABLES)
def proxy(request, monkeypatch) -> str:
    for name in (*VARIABLES, "no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(request.param, PROXY)
    return request.param


@pytest.fixture
def cli(bin_dir, server):
    def run(*arguments: object, target: str = server.target) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(bin_dir / "pixpool"), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=60,
            env=os.environ | {"PIXPOOL_TARGET": target},
        )

    return run


@pytest.fixture
def pixpool(api):
    """The package, once the generated code is there."""
    import pixpool

    return pixpool


def names(server) -> list[str]:
    """The server's address in the forms that mean this machine."""
    port = server.target.rpartition(":")[2]
    return [server.target, f"localhost:{port}", f"dns:///localhost:{port}", f"ipv4:{server.target}"]


def test_the_command_goes_straight_to_this_machine(cli, server, photos):
    for target in names(server):
        assert cli("health", target=target).returncode == 0
    run = cli("extract", photos["cat.png"])
    assert run.returncode == 0, run.stderr
    run = cli("bench", "--requests", 20, "--warm-up", 0, photos["cat.png"])
    assert run.returncode == 0, run.stderr


def test_the_command_names_the_variable(cli, proxy, photos):
    for words in (["health"], ["models"], ["bench", photos["cat.png"]], ["extract", "--stream"]):
        if words[0] == "extract":
            words = [*words, photos["cat.png"]]
        run = cli(*words, target=ELSEWHERE)
        assert run.returncode == 3
        assert f"no server answers at {ELSEWHERE}, asked through the proxy" in run.stderr
        assert f"proxy that the environment's {proxy} names" in run.stderr


def test_a_server_that_is_down_is_named_with_the_command_that_starts_one(cli, pixpool, tmp_path):
    nobody = f"unix:{tmp_path}/none.sock"
    for target in ("127.0.0.1:1", nobody):
        says = f'no server answers at {target}; is it running, and in TLS where the client is? "pix'
        run = cli("health", target=target)
        assert run.returncode == 3
        assert f'{says}pool-server --listen {target}" starts one' in run.stderr
        once = pixpool.RetryPolicy(max_attempts=1)
        with pixpool.Client(target, timeout=20, retry=once) as client:
            with pytest.raises(pixpool.PixpoolError) as caught:
                client.models()
        assert f'{says}pool-server --listen {target}" starts one' in caught.value.message


def test_bulk_jobs_go_straight_to_this_machine(pixpool, server, photos, tmp_path, proxy):
    from pixpool.bulk import BulkError, run

    folder = photos["cat.png"].parent
    assert run(folder, tmp_path / "a.npy", target=server.target, progress=False).failed == 0
    with pytest.raises(BulkError, match=f"no server answers at {ELSEWHERE}, .* {proxy} names"):
        run(folder, tmp_path / "b.npy", target=ELSEWHERE, progress=False, timeout=5)


def test_the_python_clients_go_straight_to_this_machine(pixpool, server, photos):
    for target in names(server):
        with pixpool.Client(target, timeout=20) as client:
            assert client.health()
            assert client.extract(photos["cat.png"]).array.shape == (1, 1280)

    async def ask() -> bool:
        async with pixpool.AsyncClient(server.target, timeout=20) as client:
            return await client.health()

    assert asyncio.run(ask())


def test_the_python_client_names_the_variable(pixpool, photos, monkeypatch, proxy):
    once = pixpool.RetryPolicy(max_attempts=1)
    says = f"no server answers at pixpool.example.com:50051, asked .* {proxy} names"
    with pixpool.Client(ELSEWHERE, timeout=20, retry=once) as client:
        with pytest.raises(pixpool.PixpoolError, match=says):
            client.models()
        with pytest.raises(pixpool.PixpoolError, match=says):
            list(client.stream([photos["cat.png"]]))
    monkeypatch.setenv("no_proxy", "127.0.0.1,.example.com")
    with pixpool.Client(ELSEWHERE, timeout=20, retry=once) as client:
        with pytest.raises(pixpool.PixpoolError, match="50051; is it running") as caught:
            client.models()
        assert "proxy" not in caught.value.message
