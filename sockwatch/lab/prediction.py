"""What sockwatch predicts for a server or client in the sandbox, before it is started."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sockwatch.bind import BindRequest, Verdict, explain_bind, explain_restart
from sockwatch.lab.model import ClientSpec, LabError, ServerSpec
from sockwatch.model import Snapshot

WILDCARDS = {4: "0.0.0.0", 6: "::"}  # noqa: S104 - the address of a request, nothing is bound


@dataclass(frozen=True, slots=True)
class Prediction:
    """`outcome` is what the program gets first: ``ok``, ``EADDRINUSE``, ``listen EADDRINUSE``."""

    outcome: str
    verdict: Verdict


def predict_server(spec: ServerSpec, snapshot: Snapshot) -> Prediction:
    """The answer to the server's bind(), and to its listen() if it listens."""
    # Flags that are set after bind() count for listen() alone.
    at_bind = replace(spec, reuseaddr=False, reuseport=False) if spec.late else spec
    verdict = _explain(server_request(at_bind), snapshot, spec.uid)
    if verdict.bind != "ok" or spec.backlog is None or spec.protocol == "udp":
        return Prediction(verdict.bind, verdict)
    if spec.late:
        verdict = replace(verdict, listen=_explain(server_request(spec), snapshot, spec.uid).listen)
    return Prediction(verdict.outcome, verdict)


def predict_listen(spec: ServerSpec, snapshot: Snapshot, inode: int) -> Prediction:
    """The answer to listen() on a socket that is already bound, and does not block itself."""
    ports = tuple(
        port._replace(bound=tuple(sock for sock in port.bound if sock.inode != inode))
        for port in snapshot.ports
    )
    verdict = _explain(server_request(spec), replace(snapshot, ports=ports), spec.uid)
    answer = verdict.listen or "ok"
    return Prediction("ok" if answer == "ok" else f"listen {answer}", verdict)


def predict_restart(spec: ServerSpec, snapshot: Snapshot) -> Prediction:
    """The answer to the server of this spec if it ends now and binds again at once.

    Raises LabError if it is not on its port.
    """
    port = snapshot.port(spec.protocol, spec.port)
    restart = None if port is None else explain_restart(port, snapshot)
    if restart is None:
        raise LabError(f"no server is on port {spec.port}")
    return Prediction(restart.verdict.outcome, restart.verdict)


def predict_client(spec: ClientSpec, snapshot: Snapshot) -> Prediction:
    """The answer to the bind() of a client that asks for a port of its own."""
    version = 6 if ":" in spec.to else 4
    request = BindRequest(
        "tcp",
        spec.address or WILDCARDS[version],
        spec.port,
        reuseaddr=spec.reuseaddr,
        reuseport=spec.reuseport,
    )
    verdict = _explain(request, snapshot, None)
    return Prediction(verdict.bind, verdict)


def server_request(spec: ServerSpec) -> BindRequest:
    """What the server asks of bind(). Raises SockwatchError for a bad address or port."""
    return BindRequest(
        spec.protocol,
        spec.address,
        spec.port,
        reuseaddr=spec.reuseaddr,
        reuseport=spec.reuseport,
        v6only=spec.v6only,
        uid=spec.uid,
    )


def _explain(request: BindRequest, snapshot: Snapshot, uid: int | None) -> Verdict:
    # What gives up root gives up its capabilities.
    facts = replace(snapshot.facts, net_bind_service=False) if uid else snapshot.facts
    return explain_bind(request, snapshot, facts)
