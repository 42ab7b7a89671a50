"""Rules as tools and runtimes make them, and how a test makes them in its network namespace."""

from __future__ import annotations

import subprocess
from typing import Final

from sockwatch.kernel.netfilter.reader import RedirectReader
from sockwatch.model import Gap, Protocol, Redirect
from tests.support.tools import need


def nft(*rules: str, hook: str = "prerouting", before: str = "", family: str = "ip") -> None:
    """A table with a NAT chain of these rules; `before` are its other chains, sets and maps."""
    need("nft")
    text = "\n".join(rules)
    table = f"""
    table {family} t {{
      {before}
      chain c {{
        type nat hook {hook} priority -100; policy accept;
        {text}
      }}
    }}
    """
    subprocess.run(["nft", "-f", "-"], input=table, text=True, check=True)


def iptables(*rules: str, kind: str = "iptables-nft") -> None:
    """Rules of the table nat, each the words after ``-t nat``."""
    need(kind)
    for rule in rules:
        subprocess.run([kind, "-t", "nat", *rule.split(" ")], check=True)


def read(port: int, *protocols: Protocol) -> tuple[tuple[Redirect, ...], tuple[Gap, ...]]:
    """What a new reader finds."""
    return RedirectReader().read(protocols or ("tcp", "udp"), port)


def places(port: int, *protocols: Protocol) -> list[tuple[str, str | None, int | None]]:
    """(target, address, port) of what is found, where nothing is left unseen."""
    found, gaps = read(port, *protocols)
    assert not gaps
    return [(each.target, each.address, each.port) for each in found]


# As netavark, Docker, CNI's portmap and kube-proxy make them.
PODMAN: Final = (
    "-N NETAVARK-DN-1",
    "-N NETAVARK-HOSTPORT-DNAT",
    "-A PREROUTING -m addrtype --dst-type LOCAL -j NETAVARK-HOSTPORT-DNAT",
    "-A OUTPUT -m addrtype --dst-type LOCAL -j NETAVARK-HOSTPORT-DNAT",
    "-A NETAVARK-HOSTPORT-DNAT -p tcp --dport 8080 -m comment --comment id -j NETAVARK-DN-1",
    "-A NETAVARK-DN-1 -p tcp --dport 8080 -j DNAT --to-destination 10.88.0.2:80",
)
DOCKER: Final = (
    "-N DOCKER",
    "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
    "-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER",
    "-A DOCKER -i docker0 -j RETURN",
    "-A DOCKER ! -i docker0 -p tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80",
)
PORTMAP: Final = (
    "-N CNI-DN-1",
    "-N CNI-HOSTPORT-DNAT",
    "-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
    "-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
    "-A CNI-HOSTPORT-DNAT -p tcp -m multiport --dports 8080,8443 -j CNI-DN-1",
    "-A CNI-DN-1 -p tcp --dport 8080 -j DNAT --to-destination 10.4.0.2:80",
)
KUBE_PROXY: Final = (
    "-N KUBE-SERVICES",
    "-N KUBE-NODEPORTS",
    "-N KUBE-SVC-1",
    "-N KUBE-SEP-1",
    "-N KUBE-SEP-2",
    "-A PREROUTING -m comment --comment services -j KUBE-SERVICES",
    "-A OUTPUT -m comment --comment services -j KUBE-SERVICES",
    "-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp --dport 443 -j KUBE-SVC-1",
    "-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS",
    "-A KUBE-NODEPORTS -p tcp --dport 30080 -j KUBE-SVC-1",
    "-A KUBE-SVC-1 -m statistic --mode random --probability 0.5 -j KUBE-SEP-1",
    "-A KUBE-SVC-1 -j KUBE-SEP-2",
    "-A KUBE-SEP-1 -p tcp -j DNAT --to-destination 10.244.0.5:8080",
    "-A KUBE-SEP-2 -p tcp -j DNAT --to-destination 10.244.0.6:8080",
)
