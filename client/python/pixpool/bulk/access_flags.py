"""The flags of the command that say how it comes in, and their variables: those of `pixpool`."""

from __future__ import annotations

import argparse
import os

from pixpool._access import Tls


def add_access_flags(parser: argparse.ArgumentParser) -> None:
    env = os.environ

    def switch(flag: str, variable: str, help: str) -> None:
        on = env.get(variable, "").lower() not in ("", "0", "false", "no", "off")
        help = f"{help}; default: {variable}"
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=on, help=help)

    def text(flag: str, variable: str, metavar: str, help: str) -> None:
        help = f"{help}; default: {variable}"
        parser.add_argument(flag, default=env.get(variable) or None, metavar=metavar, help=help)

    switch("--tls", "PIXPOOL_TLS", "encrypt; so do the four below")
    text("--ca", "PIXPOOL_CA", "FILE", "certificates of those who sign the server's, in PEM")
    text("--client-cert", "PIXPOOL_CLIENT_CERT", "FILE", "this client's certificate chain, in PEM")
    text("--client-key", "PIXPOOL_CLIENT_KEY", "FILE", "its private key")
    text("--server-name", "PIXPOOL_SERVER_NAME", "NAME", "what the server's certificate calls it")
    text("--token-file", "PIXPOOL_TOKEN_FILE", "FILE", "token that every call brings")
    switch(
        "--allow-plain-token",
        "PIXPOOL_ALLOW_PLAIN_TOKEN",
        "let a token go to another machine without TLS",
    )
    parser.add_argument(
        "--header",
        action="append",
        type=_header,
        default=[],
        metavar="'NAME: VALUE'",
        help="header of every call; repeatable; before them those of PIXPOOL_HEADERS, one a line",
    )


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:  # not shown: it may be a secret
        raise argparse.ArgumentTypeError("a header has no colon; write 'NAME: VALUE'")
    return name.strip().lower(), value.strip()


def tls_of(args: argparse.Namespace) -> bool | Tls:
    files = (args.ca, args.client_cert, args.client_key)
    if not args.tls and not any(files) and not args.server_name:
        return False
    return Tls(*files, args.server_name or "")


def headers_of(args: argparse.Namespace) -> list[tuple[str, str]]:
    lines = os.environ.get("PIXPOOL_HEADERS", "").splitlines()
    try:
        return [*map(_header, filter(str.strip, lines)), *args.header]
    except argparse.ArgumentTypeError as error:
        raise ValueError(f"PIXPOOL_HEADERS: {error}") from None
