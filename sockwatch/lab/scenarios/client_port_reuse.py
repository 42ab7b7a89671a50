from dataclasses import replace

from sockwatch.lab.model import ClientSpec, ServerSpec
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.steps import Connect, Signal, Start

PORT = 10014  # the local port of the clients
_TO_B = ClientSpec(to="127.0.0.2", port=PORT, address="127.0.0.1", closes="nobody")
_TO_C = ClientSpec(to="127.0.0.3", port=PORT, address="127.0.0.1", closes="nobody")


def _with_addr(spec: ClientSpec) -> ClientSpec:
    return replace(spec, reuseaddr=True)


SCENARIO = Scenario(
    number=10,
    name="client-port-reuse",
    title="One local port for connections to two servers",
    claim="A client that is connected to host B from local port 1234 cannot connect to host C from"
    " the same port unless reuse is on. And a port that a server listens on can never be used to"
    " connect out.",
    finding="The first is true: both sockets need the flag before bind(). The second is true for"
    " SO_REUSEADDR only: with SO_REUSEPORT on both a listening port connects out.",
    ports=(10013, PORT),
    needs=("own network",),
    steps=(
        Start("server B", "b", ServerSpec(address="127.0.0.2"), expect="ok"),
        Start(
            "server C, with SO_REUSEADDR",
            "c",
            ServerSpec(address="127.0.0.3", reuseaddr=True),
            expect="ok",
        ),
        Connect(
            f"connect to B from local port {PORT}, no flag",
            "one",
            _TO_B,
            servers=("b",),
            expect="ok",
        ),
        Connect(
            f"connect to C from local port {PORT}, no flag",
            "two",
            _TO_C,
            expect="EADDRINUSE",
            why="It is bind() that fails: at that point the kernel does not know yet that "
            "the connection will go to another server.",
        ),
        Connect(
            "the same with SO_REUSEADDR on the second socket only",
            "two",
            _with_addr(_TO_C),
            expect="EADDRINUSE",
            why="Both sides need the flag, and the first connection was made without.",
        ),
        Signal("end the first client", "one", "KILL"),
        Connect(
            "connect to B again, now with SO_REUSEADDR",
            "one",
            replace(_with_addr(_TO_B), port=PORT + 1),
            servers=("b",),
            expect="ok",
        ),
        Connect(
            "connect to C from the same port, with SO_REUSEADDR",
            "two",
            replace(_with_addr(_TO_C), port=PORT + 1),
            servers=("c",),
            expect="ok",
            why="Two connections with one local port: they differ in the peer, which is enough to"
            " tell their packets apart.",
        ),
        Connect(
            "connect to B a second time from that port",
            "three",
            replace(_with_addr(_TO_B), port=PORT + 1),
            expect="connect EADDRNOTAVAIL",
            why="bind() passes, but the four numbers of the connection would be those of the"
            " first: connect() refuses.",
        ),
        Connect(
            "connect to B from the address and port that C listens on, with SO_REUSEADDR",
            "four",
            replace(_with_addr(_TO_B), address="127.0.0.3", port=10013),
            expect="EADDRINUSE",
            why="Both have SO_REUSEADDR, but C listens, and the flag does not get past a listener.",
        ),
        Start(
            "a server with SO_REUSEPORT",
            "shared",
            ServerSpec(address="127.0.0.4", reuseport=True),
            expect="ok",
        ),
        Connect(
            "connect to B from its port, with SO_REUSEPORT",
            "five",
            replace(_TO_B, address="127.0.0.4", port=10013, reuseport=True),
            servers=("b",),
            expect="ok",
            why="Listener and client share SO_REUSEPORT and the user, so bind() passes, and the"
            " connection goes out from the listening port.",
        ),
    ),
)
