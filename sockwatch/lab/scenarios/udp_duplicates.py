from sockwatch.lab.model import ServerSpec
from sockwatch.lab.observations import Send
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.steps import Signal, Start

_PLAIN = ServerSpec(protocol="udp", address="127.0.0.1")
_ADDR = ServerSpec(protocol="udp", address="127.0.0.1", reuseaddr=True)
_PORT = ServerSpec(protocol="udp", address="127.0.0.1", reuseport=True)

SCENARIO = Scenario(
    number=7,
    name="udp-duplicates",
    title="Complete duplicates with UDP: which one receives?",
    claim="SO_REUSEADDR allows completely duplicate bindings, the same address and port twice,"
    " only for UDP and only for multicast.",
    finding="Linux allows it for UDP of any kind, unicast too. With SO_REUSEADDR the newest "
    "socket takes all, with SO_REUSEPORT the kernel spreads the datagrams. Nobody gets "
    "an error.",
    ports=(10013,),
    steps=(
        Start("a UDP server on 127.0.0.1 without any flag", "alone", _PLAIN, expect="ok"),
        Start(
            "a second one with SO_REUSEADDR",
            "first",
            _ADDR,
            expect="EADDRINUSE",
            why="Both sides need the flag, with UDP too.",
        ),
        Signal("kill the one without a flag", "alone", "KILL"),
        Start("the first with SO_REUSEADDR", "first", _ADDR, expect="ok"),
        Start(
            "the second with SO_REUSEADDR, the same address",
            "second",
            _ADDR,
            expect="ok",
            why="A UDP socket never listens, so the flag on both sides is enough.",
        ),
        Send(
            "a datagram to the port",
            "sender",
            "127.0.0.1",
            ("first", "second"),
            expect="second",
            why="Each unicast datagram goes to one socket: the one that was bound last. The first"
            " has lost its traffic without any error.",
        ),
        Signal("kill the first", "first", "KILL"),
        Signal("kill the second", "second", "KILL"),
        Start("the first with SO_REUSEPORT", "first", _PORT, expect="ok"),
        Start("the second with SO_REUSEPORT", "second", _PORT, expect="ok"),
        Send(
            "a datagram to the port",
            "sender",
            "127.0.0.1",
            ("first", "second"),
            counted=True,
            expect="1 of 2 receive it",
            why="The kernel picks the member of the group by a hash of both addresses and ports.",
        ),
    ),
)
