"""How a client comes in: encrypted or not, and by which token."""

from __future__ import annotations

import dataclasses
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import grpc

from pixpool._proxy import is_on_this_machine

StrPath: TypeAlias = str | os.PathLike[str]
AllHeaders: TypeAlias = tuple[tuple[str, str | bytes], ...]

# Headers that let whoever reads them call as if he were their owner.
_SECRETS = ("authorization", "x-api-key")


@dataclasses.dataclass(frozen=True)
class Tls:
    """TLS to a server, by files in PEM, which are read when the client is made.

    ca: certificates of those who sign the server's; None: the public ones that gRPC knows.
    client_cert, client_key: the client's own certificate chain and its key, where the server asks
        for one (mutual TLS).
    server_name: the name that stands in the server's certificate, where the target has another,
        such as that of a forwarded port.

    ValueError for files that cannot be used.
    """

    ca: StrPath | None = None
    client_cert: StrPath | None = None
    client_key: StrPath | None = None
    server_name: str = ""

    def __post_init__(self) -> None:
        if (self.client_cert is None) != (self.client_key is None):
            raise ValueError("client_cert and client_key need each other: one is not given")

    def credentials(self) -> grpc.ChannelCredentials:
        """For `grpc.secure_channel`."""
        self._check()
        return grpc.ssl_channel_credentials(
            _read(self.ca), _read(self.client_key), _read(self.client_cert)
        )

    def channel_options(self) -> list[tuple[str, str]]:
        """What a channel needs beside the credentials."""
        name = self.server_name
        return [("grpc.ssl_target_name_override", name)] if name else []

    def _check(self) -> None:
        """gRPC would only say that no connection comes about."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for option, path in (("ca", self.ca), ("client_cert", self.client_cert)):
            if path is not None:
                try:
                    context.load_verify_locations(path)
                except OSError as error:
                    raise ValueError(f"{option} {os.fspath(path)}: {_why(error)}") from error
        if self.client_cert is not None and self.client_key is not None:
            key = os.fspath(self.client_key)

            def no_password() -> str:
                raise ValueError(
                    f"client_key {key}: is encrypted; decrypt it (openssl pkey -in FILE -out FILE)"
                )

            try:
                context.load_cert_chain(self.client_cert, key, no_password)
            except OSError as error:
                which = f"client_key {key} (of client_cert {os.fspath(self.client_cert)})"
                raise ValueError(f"{which}: {_why(error)}") from error


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"cannot be used: {(error.reason or str(error)).replace('_', ' ').lower()}"
    return f"cannot be read: {error.strerror}"


def _read(path: StrPath | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()


class TokenFile:
    """The token in a file, which is read again when it changes: whoever issues tokens replaces it.

    Thread-safe.
    """

    def __init__(self, path: StrPath) -> None:
        """ValueError where there is none."""
        self._path = Path(path)
        self._known: tuple[tuple[int, int, int] | None, str] = (None, "")  # replaced as a whole
        self._read()

    def __call__(self) -> str:
        """Of a file that cannot be read any more, what it held."""
        try:
            # What was a pipe has been read.
            return self._read() if self._path.is_file() else self._known[1]
        except ValueError:
            return self._known[1]

    def _read(self) -> str:
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
            if self._known[0] != stamp:
                self._known = (stamp, self._checked(self._path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise ValueError(f"token_file {self._path}: cannot be read: {why}") from error
        return self._known[1]

    def _checked(self, text: str) -> str:
        token = text.strip()
        if not token or not all("!" <= c <= "~" for c in token):
            raise ValueError(
                f"token_file {self._path}: must hold one token, printable ASCII without spaces"
            )
        return token


def guarded(
    ask: Callable[[], AllHeaders],
    token_file: StrPath | None,
    target: str,
    encrypted: bool,
    allow_plain_token: bool,
) -> Callable[[], AllHeaders]:
    """The headers that `ask` gives, with the token of a file; ValueError rather than a secret that
    others on the way could read, at once where a file is named, and rather than two tokens.
    """
    safe = encrypted or allow_plain_token or is_on_this_machine(target)
    if token_file is not None:
        if not safe:
            raise ValueError(_refusal("the token", target))
        token = TokenFile(token_file)

        def with_token() -> AllHeaders:
            headers = ask()
            for name, _ in headers:
                if name.lower() == "authorization":
                    raise ValueError(
                        f"token_file and the header {name} both say by whose right a call comes:"
                        " give one"
                    )
            return (*headers, ("authorization", f"Bearer {token()}"))

        return with_token
    if safe:
        return ask

    def without_secrets() -> AllHeaders:
        headers = ask()
        for name, _ in headers:
            if name.lower() in _SECRETS:
                raise ValueError(_refusal(f"the header {name}", target))
        return headers

    return without_secrets


def _refusal(what: str, target: str) -> str:
    return (
        f"{what} would go to {target} in clear text: use TLS (tls=True or pixpool.Tls), or say"
        " allow_plain_token=True where the way there is safe"
    )
