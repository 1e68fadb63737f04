"""TLS files and tokens of the Python clients: what is refused before anything is sent."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess

import pytest

import pixpool
from certificates import Authority
from pixpool._access import TokenFile

ELSEWHERE = "pixpool.example.com:50051"


@pytest.fixture(scope="module", name="authority")
def authority_fixture(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(name="token")
def token_fixture(tmp_path):
    path = tmp_path / "token"
    path.write_text("abc\n")
    return path


def headers(client) -> tuple:
    return client._headers()


@pytest.mark.parametrize("kind", [pixpool.Client, pixpool.AsyncClient])
def test_a_token_does_not_go_elsewhere_in_clear_text(kind, token):
    async def make(*arguments, **options):
        return kind(*arguments, **options)

    with pytest.raises(ValueError, match=r"the token would go to pixpool\.example\.com:50051 in"):
        asyncio.run(make(ELSEWHERE, token_file=token))
    for target, options in {
        "127.0.0.1:50051": {},
        "unix:/run/pixpool.sock": {},
        ELSEWHERE: {"tls": True},
        f"dns:///{ELSEWHERE}": {"allow_plain_token": True},
    }.items():
        client = asyncio.run(make(target, token_file=token, **options))
        assert headers(client) == (("authorization", "Bearer abc"),)


@pytest.mark.parametrize("name", ["authorization", "Authorization", "x-api-key"])
def test_neither_does_a_header_that_is_one(name):
    secret = ((name, "Bearer abc"),)
    for metadata in (secret, lambda: secret):
        with pytest.raises(ValueError, match=f"the header {name} would go to"):
            pixpool.Client(ELSEWHERE, metadata=metadata).models()
        assert headers(pixpool.Client(ELSEWHERE, metadata=metadata, tls=True)) == secret
        assert headers(pixpool.Client(metadata=metadata)) == secret
    assert headers(pixpool.Client(ELSEWHERE, metadata=(("x-other", "1"),))) == (("x-other", "1"),)


@pytest.mark.parametrize("kind", [pixpool.Client, pixpool.AsyncClient])
def test_two_tokens_are_refused(kind, token):
    says = "token_file and the header Authorization both say by whose right a call comes"

    async def make(metadata):
        return kind(token_file=token, metadata=metadata)

    with pytest.raises(ValueError, match=says):
        asyncio.run(make([("Authorization", "Bearer other")]))
    client = asyncio.run(make(lambda: [("Authorization", "Bearer other")]))
    with pytest.raises(ValueError, match=says):
        headers(client)
    client = asyncio.run(make([("x-api-key", "other")]))
    assert [name for name, _ in headers(client)] == ["x-api-key", "authorization"]


def test_a_token_is_read_again_when_its_file_changes(token):
    read = TokenFile(token)
    assert read() == "abc"
    token.write_text("half a")
    assert read() == "abc"
    token.write_text("another")
    assert read() == "another"
    token.unlink()
    assert read() == "another"


def test_a_token_may_come_by_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["sh", "-c", f"echo secret > {pipe}"]):
        read = TokenFile(pipe)
    assert [read(), read()] == ["secret", "secret"]


@pytest.mark.parametrize("text", ["", "two words", "line\nline", "t\u00f6ken"])
def test_what_is_no_token(token, text):
    token.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=f"token_file {token}: must hold one token"):
        pixpool.Client(token_file=token)
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        pixpool.Client(token_file=token.with_name("none"))


def test_files_that_cannot_be_used_are_named(authority, tmp_path):
    own = authority.issue("client", "client")
    other = authority.issue("other", "client")
    good = pixpool.Tls(authority.certificate, own.certificate, own.key)
    pixpool.Client(tls=good).close()
    none, empty, cut = tmp_path / "none", tmp_path / "empty", tmp_path / "cut"
    empty.touch()
    cut.write_text(own.certificate.read_text()[:-80])
    cut_key = tmp_path / "cut.key"
    cut_key.write_text(own.key.read_text()[:-80])
    for tls, problem in {
        pixpool.Tls(none): f"ca {none}: cannot be read: No such file",
        pixpool.Tls(empty): f"ca {empty}: cannot be used: ",
        pixpool.Tls(None, own.certificate, none): f"^client_key {none} .*: cannot be read: No such",
        pixpool.Tls(cut): f"^ca {cut}: cannot be used: ",
        pixpool.Tls(None, cut, own.key): f"^client_cert {cut}: cannot be used: ",
        pixpool.Tls(None, own.certificate, cut_key): f"^client_key {cut_key} .*cannot be used: ",
        pixpool.Tls(None, own.certificate, other.key): "cannot be used: key values mismatch",
    }.items():
        with pytest.raises(ValueError, match=problem):
            pixpool.Client(tls=tls)
    locked = tmp_path / "locked"
    subprocess.run(
        ["openssl", "pkey", "-in", own.key, "-aes128", "-passout", "pass:x", "-out", locked],
        check=True,
    )
    with pytest.raises(ValueError, match="locked: is encrypted; decrypt it"):
        pixpool.Client(tls=pixpool.Tls(None, own.certificate, locked))
    with pytest.raises(ValueError, match="need each other"):
        pixpool.Tls(client_cert=own.certificate)
    with pytest.raises(ValueError, match="both say how to encrypt"):
        pixpool.Client(tls=True, credentials=good.credentials())


def test_bulk_says_so_before_it_begins(tmp_path, token, photo):
    from pixpool.bulk import run
    from pixpool.bulk.__main__ import main

    output = tmp_path / "out.npy"
    with pytest.raises(ValueError, match="clear text"):
        run(photo.parent, output, target=ELSEWHERE, token_file=token)
    flags = [str(photo.parent), "--output", str(output), "--target", ELSEWHERE]
    assert main([*flags, "--token-file", str(token)]) == 2
    assert main([*flags, "--header", "Authorization: Bearer x"]) == 2
    assert main([*flags, "--ca", str(tmp_path / "none")]) == 2
    assert main([*flags, "--client-key", str(tmp_path / "none")]) == 2
    assert not list(tmp_path.glob("out*"))


@pytest.fixture(name="photo")
def photo_fixture(tmp_path):
    from pixpool.samples import copy_samples

    folder = tmp_path / "photos"
    folder.mkdir()
    copy_samples(folder)
    return shutil.copy(next(folder.glob("*.png")), folder / "one.png") and folder / "one.png"


def test_the_command_takes_variables(monkeypatch, tmp_path, token):
    from pixpool.bulk.__main__ import _parser
    from pixpool.bulk.access_flags import headers_of, tls_of

    for name, value in {
        "TLS": "1",
        "CA": "ca.pem",
        "CLIENT_CERT": "c.pem",
        "CLIENT_KEY": "c.key",
        "SERVER_NAME": "name",
        "TOKEN_FILE": str(token),
        "ALLOW_PLAIN_TOKEN": "true",
        "HEADERS": "a: 1\n\nb: 2\n",
    }.items():
        monkeypatch.setenv(f"PIXPOOL_{name}", value)
    args = _parser().parse_args(["in", "--output", "x.npy", "--header", "C: 3"])
    assert tls_of(args) == pixpool.Tls("ca.pem", "c.pem", "c.key", "name")
    assert args.token_file == str(token) and args.allow_plain_token
    assert headers_of(args) == [("a", "1"), ("b", "2"), ("c", "3")]
    args = _parser().parse_args(["in", "--output", "x.npy", "--no-tls", "--no-allow-plain-token"])
    assert not args.tls and not args.allow_plain_token


def test_a_header_without_a_colon_is_not_shown(monkeypatch, capsys):
    from pixpool.bulk.__main__ import _parser
    from pixpool.bulk.access_flags import headers_of

    words = ["in", "--output", "x.npy"]
    with pytest.raises(SystemExit):
        _parser().parse_args([*words, "--header", "Bearer s3cret"])
    said = capsys.readouterr().err
    assert "--header: a header has no colon; write 'NAME: VALUE'" in said
    assert "s3cret" not in said
    monkeypatch.setenv("PIXPOOL_HEADERS", "a: 1\nBearer s3cret")
    args = _parser().parse_args(words)
    with pytest.raises(ValueError, match="PIXPOOL_HEADERS: a header has no colon") as caught:
        headers_of(args)
    assert "s3cret" not in str(caught.value)
