"""Where the server listens: several places, IPv6, free ports, Unix sockets; by every client."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import stat
import subprocess
import time

import grpc
import numpy as np
import pytest

from certificates import Authority


def places(server) -> list[str]:
    """As the log says them."""
    (line,) = server.lines("listening")
    return line["grpc"].split(",")


def embedding(api, target: str, photo, credentials=None) -> np.ndarray:
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    if credentials:
        channel = grpc.secure_channel(target, credentials, options)
    else:
        channel = grpc.insecure_channel(target, options)
    with channel:
        request = api.pb.ExtractFeaturesRequest(images=[api.pb.Image(encoded=photo.read_bytes())])
        reply = api.rpc.FeatureServiceStub(channel).ExtractFeatures(request, timeout=30)
    return np.asarray(reply.results[0].features.head_results[0].values, np.float32)


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as s:
        try:
            s.bind(("::1", 0))
        except OSError:
            return False
    return True


@pytest.fixture(name="path")
def path_fixture(tmp_path_factory):
    """Short: a socket's path has 107 bytes at the most."""
    return tmp_path_factory.mktemp("s") / "pixpool.sock"


@pytest.fixture(scope="module", name="pixpool")
def pixpool_fixture(api):
    """The package, once the generated code is there."""
    import pixpool

    return pixpool


def test_several_places_at_once(api, start_server, server, photos, path):
    """Given in both ways, with ports that are free and told in the log."""
    more = "127.0.0.1:0,[::1]:0" if has_ipv6() else "127.0.0.1:0"
    started = start_server("--listen", more, target=f"unix:{path}")
    found = places(started)
    assert found[0] == f"unix:{path}"
    assert len(found) == 1 + len(more.split(","))
    for place in found[1:]:
        host, _, port = place.rpartition(":")
        assert host in ("127.0.0.1", "[::1]") and int(port) > 0
    wanted = embedding(api, server.target, photos["cat.png"])
    for place in found:
        np.testing.assert_array_equal(embedding(api, place, photos["cat.png"]), wanted)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert started.get("/livez") == (200, "ok\n")
    assert not started.lines("plain_text")
    callers = {line["caller"] for line in started.lines("request")}
    assert callers == {"unix", "127.0.0.1", *(["::1"] if has_ipv6() else [])}
    assert started.stop() == 0
    assert not path.exists()


def test_who_may_connect_is_an_option(start_server, path):
    started = start_server("--socket-mode", "0666", target=f"unix:{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    started.stop()


def test_what_a_killed_server_left_is_replaced_and_nothing_else(api, start_server, photos, path):
    first = start_server(target=f"unix:{path}", wait=False)
    first.wait_live()
    second = start_server(target=f"unix:{path}", wait=False)
    assert second.wait() == 1
    says = f"pixpool-server: cannot listen on unix:{path} (--listen): "
    assert f"{says}another process answers there" in second.log()
    first.signal(signal.SIGKILL)
    first.wait()
    assert path.exists()
    third = start_server(target=f"unix:{path}")
    assert embedding(api, f"unix:{path}", photos["cat.png"]).size == 1280
    third.stop()
    path.write_text("somebody's")
    fourth = start_server(target=f"unix:{path}", wait=False)
    assert fourth.wait() == 1
    assert f"{says}there is a file that is no socket" in fourth.log()
    assert path.read_text() == "somebody's"


def test_a_place_that_is_taken_is_named(start_server, server, path):
    other = start_server("--listen", server.target, target=f"unix:{path}", wait=False)
    assert other.wait() == 1
    assert f"cannot listen on {server.target} (--listen): Address already in use" in other.log()
    assert not path.exists(), "what was opened before goes too"


def test_tls_is_for_the_network_and_tokens_for_all(api, start_server, photos, path, tmp_path):
    authority = Authority(tmp_path)
    pair = authority.issue("server", "server")
    files = {"cert": pair.certificate, "key": pair.key, "client-ca": authority.certificate}
    flags = [str(x) for name, file in files.items() for x in (f"--tls-{name}", file)]
    started = start_server(*flags, "--listen", f"unix:{path}", target="127.0.0.1:0")
    tcp, by_path = places(started)
    own = authority.issue("client", "client")
    credentials = grpc.ssl_channel_credentials(
        authority.certificate.read_bytes(), own.key.read_bytes(), own.certificate.read_bytes()
    )
    got = embedding(api, tcp, photos["cat.png"], credentials)
    np.testing.assert_array_equal(got, embedding(api, by_path, photos["cat.png"]))
    with pytest.raises(grpc.RpcError):
        embedding(api, tcp, photos["cat.png"])
    assert started.get("/readyz")[0] == 200
    started.stop()

    tokens = tmp_path / "tokens"
    tokens.write_text(f"someone {'0' * 64}\n")
    started = start_server("--tokens", str(tokens), target=f"unix:{path}")
    with pytest.raises(grpc.RpcError) as caught:
        embedding(api, f"unix:{path}", photos["cat.png"])
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    started.stop()


def test_limits_on_an_address_are_not_for_a_unix_socket(start_server, path):
    started = start_server(
        *("--max-connections", "8", "--max-connections-per-address", "2", "--connection-rate", "1"),
        target=f"unix:{path}",
    )

    def connected() -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(10)
        client.connect(str(path))
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        return client

    clients = [connected() for _ in range(8)]
    for client in clients:
        assert client.recv(1), "its settings"
    with pytest.raises(ConnectionError), connected() as late:
        if not late.recv(1):
            raise ConnectionResetError("closed")
    end = time.monotonic() + 20  # it is counted after it was closed
    while not re.search(r'refused_total\{reason="full"\} [1-9]', started.get("/metrics")[1]):
        assert time.monotonic() < end
        time.sleep(0.05)
    for client in clients:
        client.close()
    started.stop()


@pytest.fixture(scope="module", name="by_path")
def by_path_fixture(start_server, tmp_path_factory):
    return start_server(target=f"unix:{tmp_path_factory.mktemp('s')}/pixpool.sock")


@pytest.mark.parametrize("proxy", ["", "http://127.0.0.1:1"])
def test_the_command_comes_by_a_path(bin_dir, by_path, photos, proxy):
    for words in (
        ["health"],
        ["models"],
        ["classify"],
        ["extract", "--stream"],
        ["bench", "--requests", "20", "--warm-up", "0"],
        ["bench", "--requests", "20", "--warm-up", "0", "--stream", "--connections", "2"],
        ["bench", "--requests", "20", "--warm-up", "0", "--api", "kserve"],
    ):
        pictures = [] if words[0] in ("health", "models") else [photos["cat.png"]]
        for target in (by_path.target, by_path.target.replace("unix:", "unix://")):
            run = subprocess.run(
                [str(bin_dir / "pixpool"), *words, "--target", target, *map(str, pictures)],
                capture_output=True,
                text=True,
                timeout=60,
                env=os.environ | {"http_proxy": proxy, "https_proxy": proxy},
            )
            assert run.returncode == 0, run.stderr


def test_the_python_clients_come_by_a_path(pixpool, by_path, server, photos, tmp_path, monkeypatch):
    from pixpool.bulk import run

    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    token = tmp_path / "token"
    token.write_text("abc")  # stays on this machine
    with pixpool.Client(by_path.target, token_file=token) as client:
        got = client.extract(photos["cat.png"]).array
        assert len(list(client.stream([photos["cat.png"]]))) == 1
    with pixpool.Client(server.target) as client:
        np.testing.assert_array_equal(got, client.extract(photos["cat.png"]).array)

    async def ask() -> bool:
        async with pixpool.AsyncClient(by_path.target) as client:
            return await client.health()

    assert asyncio.run(ask())
    folder = photos["cat.png"].parent
    assert run(folder, tmp_path / "a.npy", target=by_path.target, progress=False).failed == 0


@pytest.mark.endurance
def test_a_place_that_answers_no_more_is_not_live(start_server, path):
    started = start_server("--listen", f"unix:{path}", target="127.0.0.1:0")
    path.unlink()
    end = time.monotonic() + 60
    while (answer := started.get("/livez")) == (200, "ok\n"):
        assert time.monotonic() < end
        time.sleep(0.2)
    assert f"port: unix:{path} has not answered for 1" in answer[1]
