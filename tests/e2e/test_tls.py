"""TLS and mutual TLS of the gRPC port: who gets in, who does not, and files that change."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest

from certificates import Authority, Pair
from raw_http2 import PREFACE, SETTINGS, RawConnection, frame


@pytest.fixture(scope="module", name="authority")
def authority_fixture(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module", name="stranger")
def stranger_fixture(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture(scope="module", name="pair")
def pair_fixture(authority) -> Pair:
    return authority.issue("server", "server")


def flags(pair: Pair, client_ca: Path | None = None) -> list[str]:
    files = ["--tls-cert", pair.certificate, "--tls-key", pair.key]
    if client_ca:
        files += ["--tls-client-ca", client_ca]
    return [str(f) for f in files]


@pytest.fixture(scope="module", name="tls_server")
def tls_server_fixture(start_server, pair):
    return start_server(*flags(pair))


@pytest.fixture(scope="module", name="mutual_server")
def mutual_server_fixture(start_server, pair, authority):
    return start_server(*flags(pair, authority.certificate))


def channel(server, ca: Path, own: Pair | None = None) -> grpc.Channel:
    credentials = grpc.ssl_channel_credentials(
        ca.read_bytes(),
        own.key.read_bytes() if own else None,
        own.certificate.read_bytes() if own else None,
    )
    # Its own connection, and not one that another channel has.
    options = [("grpc.use_local_subchannel_pool", 1)]
    return grpc.secure_channel(server.target, credentials, options=options)


def features(api, channel: grpc.Channel, photo: Path) -> np.ndarray:
    image = api.pb.Image(encoded=photo.read_bytes())
    request = api.pb.ExtractFeaturesRequest(images=[image])
    reply = api.rpc.FeatureServiceStub(channel).ExtractFeatures(request, timeout=30)
    return np.asarray(reply.results[0].features.head_results[0].values, np.float32)


def is_refused(api, channel: grpc.Channel) -> bool:
    """Whether no call gets through, for want of a connection."""
    with channel, pytest.raises(grpc.RpcError) as error:
        api.rpc.FeatureServiceStub(channel).ListModels(api.pb.ListModelsRequest(), timeout=20)
    return error.value.code() == grpc.StatusCode.UNAVAILABLE


def context(ca: Path | None = None, own: Pair | None = None, alpn=("h2",)) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.set_alpn_protocols(alpn)
    if ca:
        made.load_verify_locations(ca)
    else:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    if own:
        made.load_cert_chain(own.certificate, own.key)
    return made


def connect(server, how: ssl.SSLContext) -> ssl.SSLSocket:
    host, port = server.target.rsplit(":", 1)
    plain = socket.create_connection((host, int(port)), timeout=15)
    return how.wrap_socket(plain, server_hostname=host)


def hello() -> bytes:
    """What a client of TLS says first."""
    said = ssl.MemoryBIO()
    client = context().wrap_bio(ssl.MemoryBIO(), said, server_hostname="127.0.0.1")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return said.read()


def metric(server, name: str) -> float:
    text = server.get("/metrics")[1]
    return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)[1])


def becomes(condition, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_the_same_answers_as_without(api, server, tls_server, photos, authority):
    with channel(tls_server, authority.certificate) as secure:
        got = features(api, secure, photos["cat.png"])
    with grpc.insecure_channel(server.target) as plain:
        np.testing.assert_array_equal(got, features(api, plain, photos["cat.png"]))
    (line,) = tls_server.lines("tls_files")
    assert line["level"] == "info" and line["client_certificates"] is False
    (line,) = tls_server.lines("listening")
    assert line["tls"] is True
    end = metric(tls_server, "pixpool_tls_certificate_expiry_timestamp_seconds")
    assert abs(end - time.time() - 30 * 86_400) < 86_400
    assert metric(server, "pixpool_tls_certificate_expiry_timestamp_seconds") == 0


def test_who_does_not_know_the_authority_does_not_go_on(api, tls_server, stranger):
    assert is_refused(api, channel(tls_server, stranger.certificate))


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_http2_over_tls_of_today(tls_server, authority, version):
    how = context(authority.certificate)
    how.minimum_version = how.maximum_version = getattr(ssl.TLSVersion, version)
    with connect(tls_server, how) as connection:
        assert connection.version() == version.replace("_", ".")
        assert connection.selected_alpn_protocol() == "h2"
        connection.sendall(PREFACE + frame(SETTINGS))
        assert connection.recv(9)[3] == SETTINGS


def received(connection: socket.socket, count: int) -> bytes:
    """Its next bytes; fewer where it ends."""
    try:
        return connection.recv(count, socket.MSG_WAITALL)
    except ConnectionError:
        return b""


def old_hello(version: int) -> bytes:
    """What a client says that knows no TLS 1.3, and 1.`version` at the most. By hand: a machine's
    own TLS may no longer know the older ones.
    """

    def block(content: bytes, size: int) -> bytes:
        return len(content).to_bytes(size, "big") + content

    ciphers = bytes.fromhex("c02b c02f c009 c013 002f")
    extensions = {
        0x0A: block(b"\0\x17", 2),  # P-256
        0x0B: block(b"\0", 1),  # its points in full
        0x0D: block(bytes.fromhex("0403 0804 0401 0203 0201"), 2),  # signatures
        0x10: block(block(b"h2", 1), 2),
    }
    rest = b"".join(kind.to_bytes(2, "big") + block(data, 2) for kind, data in extensions.items())
    body = bytes([3, version + 1, *range(32), 0]) + block(ciphers, 2) + b"\1\0" + block(rest, 2)
    return b"\x16\3\1" + block(b"\1" + block(body, 3), 2)


def test_versions_before_1_2_are_refused(tls_server):
    said = {}
    for version in (0, 1, 2):
        host, port = tls_server.target.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=15) as connection:
            connection.sendall(old_hello(version))
            said[version] = received(connection, 1)
    handshake = b"\x16"
    assert said[2] == handshake, "what is refused is the version and nothing else"
    assert handshake not in (said[0], said[1])


def test_another_protocol_over_tls_is_refused(tls_server):
    with pytest.raises(OSError), connect(tls_server, context(alpn=("http/1.1",))) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        if not connection.recv(1):
            raise ConnectionResetError("closed")


def test_plain_text_is_closed_at_once(api, tls_server):
    before = metric(tls_server, 'pixpool_connections_refused_total{reason="no_preface"}')
    with RawConnection(tls_server.target) as connection:
        connection.read(5)
        assert connection.closed
    assert is_refused(api, grpc.insecure_channel(tls_server.target))
    after = metric(tls_server, 'pixpool_connections_refused_total{reason="no_preface"}')
    assert after >= before + 2


def is_closed(connection: socket.socket) -> bool:
    """Reads until the other end closes; false where it does not within the timeout."""
    try:
        while connection.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def test_grpcs_own_lines_are_few_and_in_the_log(start_server, pair, authority, stranger):
    server = start_server(*flags(pair, authority.certificate))
    tried = 12
    unknown = stranger.issue("unknown", "client")
    for own in (None, unknown):
        for _ in range(tried):
            with pytest.raises(OSError), connect(server, context(own=own)) as connection:
                if not connection.recv(1):
                    raise ConnectionResetError("closed")
    assert server.stop() == 0
    assert [line for line in server.log().splitlines() if not line.startswith("{")] == []
    lines = server.lines("grpc")
    for cause in ("did not return a certificate", "certificate verify failed"):
        told = [line for line in lines if cause in line.get("message", "")]
        assert told and told[0]["level"] == "warning" and "andshake" in told[0]["message"]
        left_out = [line for line in lines if cause in line.get("kind", "")]
        assert len(told) < tried
        assert len(told) + sum(line.get("left_out", 0) for line in told + left_out) == tried


@pytest.mark.endurance
@pytest.mark.parametrize("stops", ["in its hello", "after its hello", "after the handshake"])
def test_who_does_not_go_on_is_cut_after_ten_seconds(tls_server, stops):
    start = time.monotonic()
    if stops == "after the handshake":
        connection = connect(tls_server, context())
    else:
        host, port = tls_server.target.rsplit(":", 1)
        connection = socket.create_connection((host, int(port)), timeout=15)
        connection.sendall(hello()[: -1 if stops == "in its hello" else None])
    with connection:
        assert is_closed(connection)
    assert 9 < time.monotonic() - start < 15


def test_mutual_tls_lets_in_whom_the_client_ca_has_signed(
    api, mutual_server, photos, authority, stranger
):
    ca = authority.certificate
    with channel(mutual_server, ca, authority.issue("client", "client")) as good:
        assert features(api, good, photos["cat.png"]).size
    assert is_refused(api, channel(mutual_server, ca))
    expired = authority.issue("expired", "client", days=-1)
    assert is_refused(api, channel(mutual_server, ca, expired))
    unknown = stranger.issue("client", "client")
    assert is_refused(api, channel(mutual_server, ca, unknown))
    not_for_clients = authority.issue("not_for_clients", "server")
    assert is_refused(api, channel(mutual_server, ca, not_for_clients))
    (line,) = mutual_server.lines("tls_files")
    assert line["client_certificates"] is True


@pytest.mark.endurance
def test_the_bounds_of_connections_hold_and_the_own_probe_finds_its_way(start_server, pair):
    """With mutual TLS, where nobody else may come in either: it has a certificate of its own."""
    ca = pair.certificate.with_name("ca.pem")
    bounds = ("--max-connections", "40", "--max-connections-per-address", "30")
    server = start_server(*flags(pair, ca), *bounds)
    crowd = []
    for _ in range(30):
        host, port = server.target.rsplit(":", 1)
        crowd.append(socket.create_connection((host, int(port)), timeout=15))
        crowd[-1].sendall(hello())
    assert becomes(lambda: metric(server, "pixpool_connections") >= 30)
    late = socket.create_connection((host, int(port)), timeout=15)
    assert is_closed(late), "the address has as many as it may"
    assert metric(server, 'pixpool_connections_refused_total{reason="address"}') >= 1
    end = time.monotonic() + 13  # what is silent for ten seconds is not live
    while time.monotonic() < end:
        assert server.get("/livez") == (200, "ok\n")
        time.sleep(0.5)
    assert all(map(is_closed, crowd)), "none went on with its handshake"
    assert becomes(lambda: metric(server, "pixpool_connections") < 5)


@pytest.fixture(name="changing")
def changing_fixture(start_server, tmp_path, pair):
    """A server whose files may be changed, and where they are."""
    files = Pair(tmp_path / "tls.crt", tmp_path / "tls.key")
    for source, target in zip(pair, files, strict=True):
        shutil.copy(source, target)
    return start_server(*flags(files)), files


def serial(server) -> str:
    """What tells the certificate that new connections get from others."""
    with connect(server, context()) as connection:
        return ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True))


def replace(files: Pair, pair: Pair) -> None:
    """Both at nearly the same time, so that no look at them judges one without the other."""
    ready = [shutil.copy(one, f"{target}.new") for one, target in zip(pair, files, strict=True)]
    for new, target in zip(ready, files, strict=True):
        os.replace(new, target)


def test_files_are_changed_while_calls_go_on(api, changing, photos, authority):
    server, files = changing
    failed, done, stop = [], [], threading.Event()

    def calls(fresh: bool) -> None:
        kept = channel(server, authority.certificate)
        while not stop.is_set():
            one = channel(server, authority.certificate) if fresh else kept
            try:
                done.append(features(api, one, photos["cat.png"]))
            except grpc.RpcError as error:
                failed.append(error)
            if fresh:
                one.close()
        kept.close()

    threads = [threading.Thread(target=calls, args=(fresh,)) for fresh in (False, True, True)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(3):
            before = serial(server)
            replace(files, authority.issue(f"turn{turn}", "server"))
            assert becomes(lambda before=before: serial(server) != before)
            so_far = len(done)
            assert becomes(lambda so_far=so_far: len(done) > so_far + 10)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []
    for other in done:
        np.testing.assert_array_equal(other, done[0])
    assert metric(server, 'pixpool_tls_reloads_total{outcome="taken"}') == 3
    assert metric(server, 'pixpool_tls_reloads_total{outcome="refused"}') == 0
    assert len(server.lines("tls_files")) == 4


def test_a_wrong_pair_leaves_the_old_one_serving(api, changing, photos, authority):
    server, files = changing
    old = serial(server)
    other = authority.issue("other", "server")
    shutil.copy(other.certificate, files.certificate)
    assert becomes(lambda: metric(server, "pixpool_tls_files_refused") == 1)
    (line,) = server.lines("tls_files_refused")
    assert line["level"] == "warning"
    assert line["message"] == (
        f"--tls-key {files.key}: is not the key of the first certificate in "
        f"--tls-cert {files.certificate}"
    )
    assert serial(server) == old
    with channel(server, authority.certificate) as secure:
        features(api, secure, photos["cat.png"])
    shutil.copy(other.key, files.key)
    assert becomes(lambda: metric(server, "pixpool_tls_files_refused") == 0)
    assert serial(server) != old
    assert metric(server, 'pixpool_tls_reloads_total{outcome="taken"}') == 1
    assert metric(server, 'pixpool_tls_reloads_total{outcome="refused"}') == 1


def test_the_client_ca_is_changed_too(api, start_server, tmp_path, pair, authority, stranger):
    ca = tmp_path / "clients.pem"
    shutil.copy(authority.certificate, ca)
    server = start_server(*flags(pair, ca))
    client = stranger.issue("late", "client")
    assert is_refused(api, channel(server, authority.certificate, client))
    ca.write_text(authority.certificate.read_text() + stranger.certificate.read_text())
    assert becomes(lambda: metric(server, 'pixpool_tls_reloads_total{outcome="taken"}') == 1)
    with channel(server, authority.certificate, client) as good:
        api.rpc.FeatureServiceStub(good).ListModels(api.pb.ListModelsRequest(), timeout=20)
    shutil.copy(authority.certificate, ca)
    assert becomes(lambda: metric(server, 'pixpool_tls_reloads_total{outcome="taken"}') == 2)
    assert is_refused(api, channel(server, authority.certificate, client))


def test_a_bad_file_ends_the_start(start_server, tmp_path, pair, authority):
    other = authority.issue("another", "server")
    os.mkfifo(tmp_path / "pipe.key")
    for key, problem in {
        tmp_path / "pipe.key": "is a pipe; it must be a file",
        tmp_path / "none.key": "cannot be opened: No such file or directory",
        other.key: "is not the key of the first certificate in --tls-cert",
        pair.certificate: "holds no private key in PEM",
    }.items():
        server = start_server(*flags(Pair(pair.certificate, key)), wait=False)
        assert server.wait() == 1
        assert f"pixpool-server: --tls-key {key}: {problem}" in server.log()


def test_many_names_of_a_client_ca_serve_and_too_many_are_told(
    api, start_server, tmp_path, pair, authority
):
    many = authority.with_long_names(tmp_path / "many.pem", 54)
    server = start_server(*flags(pair, many))
    with channel(server, authority.certificate, authority.issue("one", "client")) as good:
        api.rpc.FeatureServiceStub(good).ListModels(api.pb.ListModelsRequest(), timeout=20)
    assert server.get("/readyz")[0] == 200, "so it serves its own probe"
    too_many = tmp_path / "too_many.pem"
    too_many.write_text(many.read_text() * 2)
    server = start_server(*flags(pair, too_many), wait=False)
    assert server.wait() == 1
    assert f"--tls-client-ca {too_many}: the names of its 110 certificates take" in server.log()


def test_plain_text_warns_where_others_can_come(start_server, server):
    assert not server.lines("plain_text")
    wide = start_server(target="0.0.0.0:0")
    (line,) = wide.lines("plain_text")
    assert line["level"] == "warning" and "--tls-cert" in line["message"]
