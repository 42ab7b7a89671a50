from sockwatch.lab.model import ClientSpec, ServerSpec
from sockwatch.lab.observations import See
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.steps import ClientCloses, Connect, EndTimeWaits, Start, Sysctl

SCENARIO = Scenario(
    number=17,
    name="self-connect",
    title="A client that waits for its server connects to itself",
    claim="connect() to a port on which nobody listens fails.",
    finding="Once in a while it succeeds: if the kernel gives the client the very port it wants to"
    " reach as its local port, it is connected to itself, and the server cannot start.",
    ports=(10013,),
    needs=("own network",),
    steps=(
        Sysctl(
            "let outgoing connections use port 10013 only",
            "ip_local_port_range",
            "10013 10013",
            why="On a real host it takes some 14,000 tries.",
        ),
        Connect(
            "a client connects to port 10013, where nobody listens",
            "client",
            ClientSpec(closes="nobody"),
            expect="ok",
            why="Its SYN arrives at itself: the simultaneous open of RFC 9293. Local and remote"
            " address are the same.",
        ),
        See("what the port shows", expect="1 ESTABLISHED"),
        Start(
            "start the daytime server with SO_REUSEADDR",
            "daytime",
            ServerSpec(reuseaddr=True),
            expect="EADDRINUSE",
            why="The client owns the port and has no flag.",
        ),
        ClientCloses("the client closes", "client"),
        Start(
            "start the daytime server with SO_REUSEADDR",
            "daytime",
            ServerSpec(reuseaddr=True),
            expect="EADDRINUSE",
            why="Its TIME_WAIT blocks for another minute.",
        ),
        EndTimeWaits("end the TIME_WAIT", expect="1 ended"),
        Start("start the daytime server", "daytime", ServerSpec(reuseaddr=True), expect="ok"),
    ),
)
