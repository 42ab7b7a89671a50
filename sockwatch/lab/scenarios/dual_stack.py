from sockwatch.lab.model import ClientSpec, ServerSpec
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.steps import Connect, EndTimeWaits, ServerCloses, Signal, Start

_DUAL = ServerSpec(address="::")
_ONLY6 = ServerSpec(address="::", v6only=True)

SCENARIO = Scenario(
    number=14,
    name="dual-stack",
    title=":: takes IPv4 as well, and an IPv6 connection can block 0.0.0.0",
    claim="IPv4 and IPv6 servers do not get in each other's way.",
    finding="They do: a socket on :: without IPV6_V6ONLY owns the IPv4 wildcard, too. And so does"
    " every connection that it has accepted, even a native IPv6 one.",
    ports=(10013,),
    needs=("own network", "ipv6"),
    steps=(
        Start("a server on ::, dual stack as usual", "six", _DUAL, expect="ok"),
        Start(
            "a server on 0.0.0.0",
            "four",
            expect="EADDRINUSE",
            why=":: without IPV6_V6ONLY takes IPv4 connections, so it overlaps with 0.0.0.0. The"
            " table shows such a socket as *.",
        ),
        Connect(
            "an IPv6 client connects",
            "client",
            ClientSpec(to="::1", closes="nobody"),
            servers=("six",),
            expect="ok",
        ),
        ServerCloses("the server closes first: a TIME_WAIT on ::1", "six", "client"),
        Signal("kill the IPv6 server", "six", "KILL"),
        Start(
            "a server on 0.0.0.0",
            "four",
            expect="EADDRINUSE",
            why="The TIME_WAIT is between two IPv6 addresses, and still blocks the IPv4 wildcard:"
            " it has kept IPV6_V6ONLY = 0 from the listener.",
        ),
        Start(
            "a server on 127.0.0.1",
            "specific",
            ServerSpec(address="127.0.0.1"),
            expect="ok",
            why="A specific IPv4 address does not overlap with an IPv6 connection.",
        ),
        Signal("kill it", "specific", "KILL"),
        EndTimeWaits("end the TIME_WAIT", expect="1 ended"),
        Start("a server on :: with IPV6_V6ONLY", "six", _ONLY6, expect="ok"),
        Start(
            "a server on 0.0.0.0",
            "four",
            expect="ok",
            why="With IPV6_V6ONLY the two do not overlap: one is for IPv6, one for IPv4.",
        ),
    ),
)
