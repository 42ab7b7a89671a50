from sockwatch.lab.model import ClientSpec, ServerSpec
from sockwatch.lab.observations import See, Send
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.steps import Connect, Signal, Start, Write

_TCP = ServerSpec(reuseaddr=True, forks=False)
_UDP = ServerSpec(protocol="udp", address="127.0.0.1", reuseaddr=True)

SCENARIO = Scenario(
    number=22,
    name="late-data",
    title="Data for the old server comes after the restart: who gets it?",
    claim="With SO_REUSEADDR unexpected data may reach the server that was started again, and"
    " confuse it.",
    finding="Not with TCP: a segment belongs to a connection by all four numbers, and what is left"
    " of the old one answers it with a reset. With UDP it is true: whoever has the port gets it.",
    ports=(10013,),
    steps=(
        Start(
            "start the old server with SO_REUSEADDR, one process for all", "old", _TCP, expect="ok"
        ),
        Connect(
            "a client connects",
            "client",
            ClientSpec(closes="nobody"),
            servers=("old",),
            expect="ok",
        ),
        Signal("kill the old server", "old", "KILL"),
        Start(
            "start the new server with SO_REUSEADDR",
            "new",
            _TCP,
            expect="ok",
            why="Both sides have the flag, so what is left of the old connection does not block.",
        ),
        See("what is on the port", expect="1 LISTEN, 1 FIN_WAIT2"),
        Write(
            "the client sends on its old connection, and once more",
            "client",
            expect="EPIPE",
            why="The segment goes to what is left of the old connection, and not to the listener of"
            " the new server. No process reads there any more, so the kernel answers with a reset,"
            " and the second write() fails.",
        ),
        See(
            "what is on the port now",
            expect="1 LISTEN",
            why="The reset ended the old connection. The new server has accepted nothing and read"
            " nothing.",
        ),
        Start("a UDP server with SO_REUSEADDR", "udp-old", _UDP, expect="ok"),
        Signal("kill the UDP server", "udp-old", "KILL"),
        Start(
            "start a new UDP server with SO_REUSEADDR",
            "udp-new",
            _UDP,
            expect="ok",
            why="A UDP socket leaves nothing behind, so nothing is in the way.",
        ),
        Send(
            "a client sends the datagram that it had for the old one",
            "sender",
            "127.0.0.1",
            ("udp-new",),
            expect="udp-new",
            why="A datagram has an address and a port, and no connection that it belongs to: the"
            " new server has to tell by itself that it is not meant.",
        ),
    ),
)
