from dataclasses import replace

from sockwatch.lab.model import ClientSpec, ServerSpec
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.steps import ClientCloses, Connect, EndTimeWaits, Start, Sysctl

_ELSEWHERE = ClientSpec(to="127.0.0.2", to_port=443, closes="nobody")

SCENARIO = Scenario(
    number=12,
    name="ephemeral-thief",
    title="An outgoing connection has taken the server's port",
    claim="Nothing listens on my port, so it is free.",
    finding="Not if the port lies in the range that the kernel uses for outgoing connections. "
    "Such a client has no SO_REUSEADDR, so the server's own does not help.",
    ports=(10013, 443),
    needs=("own network",),
    steps=(
        Sysctl(
            "let outgoing connections use ports 10013 and 10014 only",
            "ip_local_port_range",
            "10013 10014",
            why="The usual range is 32768 to 60999; it is this small here so that the accident,"
            " which takes days on a real host, happens at once.",
        ),
        Start(
            "somebody's web server on 127.0.0.2:443",
            "web",
            ServerSpec(address="127.0.0.2", port=443),
            expect="ok",
        ),
        Connect(
            "a client connects out, twice",
            "backup",
            replace(_ELSEWHERE, count=2),
            servers=("web",),
            expect="ok",
            why="connect() without bind() lets the kernel choose the local port: both of the"
            " range are in use now, and one of them is the daytime server's.",
        ),
        Start(
            "start the daytime server with SO_REUSEADDR",
            "daytime",
            ServerSpec(reuseaddr=True),
            expect="EADDRINUSE",
            why="The client's socket owns the port and lacks the flag. No list of listeners shows"
            " it: look for your port as a local port of a connection.",
        ),
        ClientCloses("the client closes first", "backup", "web"),
        Start(
            "start the daytime server with SO_REUSEADDR",
            "daytime",
            ServerSpec(reuseaddr=True),
            expect="EADDRINUSE",
            why="The connection is a TIME_WAIT now, without the flag, for another 60 s.",
        ),
        EndTimeWaits("end the TIME_WAITs", expect="1 ended"),
        EndTimeWaits("end those of the other port as well", 10014, expect="1 ended"),
        Sysctl(
            "reserve port 10013",
            "ip_local_reserved_ports",
            "10013",
            why="The kernel leaves reserved ports out when it chooses by itself; a server that"
            " asks for one by number still gets it.",
        ),
        Connect(
            "the client connects out again",
            "backup",
            _ELSEWHERE,
            servers=("web",),
            expect="ok",
        ),
        Start(
            "start the daytime server",
            "daytime",
            ServerSpec(reuseaddr=True),
            expect="ok",
            why="The client was given the other port.",
        ),
    ),
)
