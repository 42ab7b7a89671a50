from sockwatch.lab.model import ClientSpec, ServerSpec
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.steps import CloseSockets, Connect, Start, Sysctl

SCENARIO = Scenario(
    number=18,
    name="free-port-race",
    title="Pick a free port, and lose it before it is used",
    claim="bind() to port 0, read the port, close, and give the number to the server to start.",
    finding="Between close and bind anybody may take the port, an outgoing connection for "
    "example, whose port the kernel chooses from the same range. Keep the socket open "
    "and pass it on.",
    ports=(10013, 443),
    needs=("own network",),
    steps=(
        Sysctl(
            "let the kernel choose port 10013 only",
            "ip_local_port_range",
            "10013 10013",
        ),
        Start(
            "somebody's web server on 127.0.0.2:443",
            "web",
            ServerSpec(address="127.0.0.2", port=443),
            expect="ok",
        ),
        Start(
            "a test asks for a free port: bind() to port 0",
            "test",
            ServerSpec(port=0, backlog=None),
            expect="ok",
            why="The kernel gives it 10013.",
        ),
        CloseSockets("the test closes it and remembers the number", "test"),
        Connect(
            "another program connects out",
            "other",
            ClientSpec(to="127.0.0.2", to_port=443, closes="nobody"),
            servers=("web",),
            expect="ok",
            why="connect() takes a free port from the same range, here the only one.",
        ),
        Start(
            "the test's server binds the number it was given",
            "server",
            ServerSpec(reuseaddr=True),
            expect="EADDRINUSE",
            why="The port was free a moment ago. Listen on port 0 and report the number, or "
            "hand over the open socket.",
        ),
    ),
)
