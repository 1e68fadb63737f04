"""HTTP proxies, which gRPC takes from the environment."""

from __future__ import annotations

import ipaddress
import os
import re

_SOCKETS = ("unix:", "unix-abstract:")
# In the order in which gRPC looks at them.
_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")


def is_on_this_machine(target: str) -> bool:
    """Whether a target is a Unix socket, a loopback address, a wildcard (which leads to one) or
    "localhost". No proxy leads back here, so none is asked, whatever the environment says."""
    if target.startswith(_SOCKETS):
        return True
    host = _host(target)
    try:
        address = ipaddress.ip_address(host)
        return address.is_loopback or address.is_unspecified
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")


def proxy_variable(target: str) -> str:
    """The environment variable whose proxy gRPC goes through to reach the target; "" where it goes
    straight there."""
    if is_on_this_machine(target) or _is_excepted(_host(target)):
        return ""
    return next((name for name in _VARIABLES if os.environ.get(name)), "")


def unreached(target: str) -> str:
    """What may help where no pixpool server answers."""
    if variable := proxy_variable(target):
        return (
            f"no server answers at {target}, asked through the proxy that the environment's"
            f" {variable} names; no_proxy with the server's name goes straight there"
        )
    text = f"no server answers at {target}; is it running, and in TLS where the client is?"
    if is_on_this_machine(target):
        address = target if target.startswith(_SOCKETS) else _without_scheme(target)
        text += f' "pixpool-server --listen {address}" starts one'
    return text


def _without_scheme(target: str) -> str:
    if "://" in target:
        return target.partition("://")[2].partition("/")[2]
    return re.sub(r"^(dns|ipv4|ipv6):", "", target)


def _host(target: str) -> str:
    """The host of "host:port", "dns://authority/host:port" or "ipv6:[host]:port"."""
    target = _without_scheme(target)
    if target.startswith("["):
        return target[1:].partition("]")[0]
    # An IPv6 address without a port may stand without brackets.
    return target.partition(":")[0] if target.count(":") < 2 else target


def _is_excepted(host: str) -> bool:
    """As gRPC reads it: names by their end, addresses also by network."""
    exceptions = os.environ.get("no_grpc_proxy") or os.environ.get("no_proxy") or ""
    for exception in filter(None, map(str.strip, exceptions.split(","))):
        if host.lower().endswith(exception.lower()):
            return True
        try:
            if ipaddress.ip_address(host) in ipaddress.ip_network(exception, strict=False):
                return True
        except ValueError:
            pass
    return False
