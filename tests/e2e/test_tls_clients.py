"""The command, the Python clients and pixpool.bulk against a server that speaks TLS and wants to
know who comes.
"""

from __future__ import annotations

import asyncio
import os
import subprocess

import numpy as np
import pytest

from certificates import Authority, Pair


@pytest.fixture(scope="module", name="authority")
def authority_fixture(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module", name="own")
def own_fixture(authority) -> Pair:
    return authority.issue("client", "client")


@pytest.fixture(scope="module", name="mutual")
def mutual_fixture(start_server, authority):
    pair = authority.issue("server", "server")
    files = {"cert": pair.certificate, "key": pair.key, "client-ca": authority.certificate}
    return start_server(*(str(x) for name, path in files.items() for x in (f"--tls-{name}", path)))


@pytest.fixture(scope="module", name="pixpool")
def pixpool_fixture(api):
    """The package, once the generated code is there."""
    import pixpool

    return pixpool


@pytest.fixture(scope="module", name="command")
def command_fixture(bin_dir):
    def run(*arguments: object, **variables: object) -> subprocess.CompletedProcess[str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PIXPOOL_")}
        return subprocess.run(
            [str(bin_dir / "pixpool"), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=60,
            env=clean | {k: str(v) for k, v in variables.items()},
        )

    return run


def flags(server, authority: Authority, own: Pair) -> list[object]:
    return [
        *("--target", server.target, "--ca", authority.certificate),
        *("--client-cert", own.certificate, "--client-key", own.key),
    ]


def variables(server, authority: Authority, own: Pair) -> dict[str, object]:
    return {
        "PIXPOOL_TARGET": server.target,
        "PIXPOOL_CA": authority.certificate,
        "PIXPOOL_CLIENT_CERT": own.certificate,
        "PIXPOOL_CLIENT_KEY": own.key,
    }


def test_every_command_comes_in(command, mutual, authority, own, photos, tmp_path):
    cat = photos["cat.png"]
    for words in (
        ["health"],
        ["health", "--wait", "5"],
        ["models"],
        ["models", "efficientnet-lite0"],
        ["classify", cat],
        ["extract", cat],
        ["extract", "--stream", cat],
        ["heatmap", "--output", tmp_path / "map.png", cat],
        ["bench", "--requests", 20, "--warm-up", 0, cat],
        ["bench", "--requests", 20, "--warm-up", 0, "--stream", cat],
        ["bench", "--requests", 20, "--warm-up", 0, "--api", "kserve", cat],
    ):
        run = command(*words, *flags(mutual, authority, own))
        assert run.returncode == 0, run.stderr
        run = command(*words, **variables(mutual, authority, own))
        assert run.returncode == 0, run.stderr


def test_who_is_not_let_in_is_told(command, mutual, authority, own):
    target = ["--target", mutual.target]
    run = command("health", *target)
    assert run.returncode == 3
    assert "Where it speaks TLS, --tls does too" in run.stderr
    assert command("health", *target, "--tls").returncode == 3, "the authority is not a public one"
    assert command("health", *target, "--ca", authority.certificate).returncode == 3
    run = command("health", *target, "--client-cert", own.certificate)
    assert run.returncode == 2
    assert "client_cert and client_key need each other" in run.stderr
    run = command("bench", *target, "--ca", "none.pem", own.certificate)
    assert run.returncode == 2
    assert "ca none.pem: cannot be read: No such file" in run.stderr


def test_what_cannot_be_sent_is_told_before_a_connection_is_tried(command, own, tmp_path):
    """Where nobody listens: it is not a server that would be told of."""
    nobody = ["health", "--target", "127.0.0.1:1"]
    cut = tmp_path / "cut.pem"
    cut.write_text(own.certificate.read_text()[:-80])
    token = tmp_path / "token"
    token.write_text("abc")
    for words, says in (
        (["--ca", cut], f"ca {cut}: certificate 1 in it is damaged"),
        (["--client-cert", cut, "--client-key", own.key], f"client_cert {cut}: certificate 1"),
        (
            ["--token-file", token, "--header", "Authorization: Bearer s3cret"],
            "token_file and the header authorization both say",
        ),
        (["--header", "a: 1", "--header", "Bearer s3cret"], "--header: header 2 has no colon"),
    ):
        run = command(*nobody, *words)
        assert run.returncode == 2, run.stderr
        assert says in run.stderr
        assert "s3cret" not in run.stderr + run.stdout
    run = command(*nobody, PIXPOOL_HEADERS="Bearer s3cret")
    assert run.returncode == 2
    assert "PIXPOOL_HEADERS: header 1 has no colon" in run.stderr
    assert "s3cret" not in run.stderr


def test_a_certificate_may_have_another_name(command, start_server, authority, photos, pixpool):
    pair = authority.issue("named", "named server")
    server = start_server("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key))
    ca = authority.certificate
    plain = ["health", "--target", server.target, "--ca", ca]
    assert command(*plain).returncode == 3
    assert command(*plain, "--server-name", "pixpool.example.com").returncode == 0
    assert command(*plain, PIXPOOL_SERVER_NAME="pixpool.example.com").returncode == 0
    assert command("bench", *plain[1:], "--requests", 3, photos["cat.png"]).returncode == 3
    with pixpool.Client(server.target, tls=pixpool.Tls(ca, server_name="pixpool.example.com")) as c:
        assert c.health()


def test_the_python_clients_come_in(pixpool, mutual, server, authority, own, photos):
    tls = pixpool.Tls(authority.certificate, own.certificate, own.key)
    with pixpool.Client(mutual.target, tls=tls) as client, pixpool.Client(server.target) as plain:
        got = client.extract(photos["cat.png"]).array
        np.testing.assert_array_equal(got, plain.extract(photos["cat.png"]).array)

    async def ask() -> bool:
        async with pixpool.AsyncClient(mutual.target, tls=tls) as client:
            return await client.health()

    assert asyncio.run(ask())
    with pixpool.Client(mutual.target, timeout=5) as stranger:
        with pytest.raises(pixpool.PixpoolError, match="is it running, and in TLS where"):
            stranger.models()


def test_bulk_jobs_come_in(pixpool, mutual, authority, own, photos, tmp_path, monkeypatch):
    from pixpool.bulk import run
    from pixpool.bulk.__main__ import main

    folder = photos["cat.png"].parent
    tls = pixpool.Tls(authority.certificate, own.certificate, own.key)
    done = run(folder, tmp_path / "a.npy", target=mutual.target, tls=tls, progress=False)
    assert done.failed == 0
    words = [str(folder), "--quiet", "--output"]
    by_flags = [str(f) for f in flags(mutual, authority, own)]
    assert main([*words, str(tmp_path / "b.npy"), *by_flags]) == 0
    for name, value in variables(mutual, authority, own).items():
        monkeypatch.setenv(name, str(value))
    assert main([*words, str(tmp_path / "c.npy")]) == 0
    first, *others = (np.load(tmp_path / f"{name}.npy") for name in "abc")
    for other in others:
        np.testing.assert_array_equal(first, other)


def test_a_token_in_clear_text_stays_here(command, server, photos, tmp_path):
    token = tmp_path / "token"
    token.write_text("abc")
    for words in (
        ["health", "--token-file", token],
        ["bench", "--token-file", token, photos["cat.png"]],
        ["models", "--header", "Authorization: Bearer abc"],
        ["bench", "--header", "x-api-key: abc", photos["cat.png"]],
    ):
        run = command(*words, "--target", "pixpool.example.com:50051")
        assert run.returncode == 2, run.stderr
        assert "would go to pixpool.example.com:50051 in clear text" in run.stderr
        if words[0] == "bench":
            words += ["--requests", 3, "--warm-up", 0]
        again = command(*words, "--target", server.target)
        assert again.returncode == 0, again.stderr
    run = command(
        *("health", "--timeout", 1, "--target", "pixpool.example.com:50051"),
        *("--token-file", token, "--allow-plain-token"),
    )
    assert run.returncode != 2, run.stderr
