from sockwatch.lab.model import ClientSpec, ServerSpec
from sockwatch.lab.observations import See
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.steps import Connect, Signal, Start

SCENARIO = Scenario(
    number=16,
    name="stopped-holder",
    title="The holder is stopped: it keeps the port and answers nobody",
    claim="A process that hangs can be terminated with SIGTERM.",
    finding="Not a stopped one: it holds its port, the kernel keeps completing connections for "
    "it, and SIGTERM stays pending until it is resumed. SIGKILL works.",
    ports=(10013,),
    steps=(
        Start("start the daytime server", "daytime", expect="ok"),
        Signal(
            "stop it, as Ctrl+Z does",
            "daytime",
            "STOP",
            why="It is not scheduled any more; its sockets stay as they are.",
        ),
        Connect(
            "a client connects",
            "client",
            ClientSpec(closes="nobody"),
            expect="ok",
            why="The kernel completes the handshake without the server: the connection waits in"
            " the accept queue, and the client hangs.",
        ),
        See("the accept queue", "queue", expect="1/5"),
        See("what the holder does", "doing", expect="daytime is stopped"),
        Start(
            "start a new server with SO_REUSEADDR",
            "new",
            ServerSpec(reuseaddr=True),
            expect="EADDRINUSE",
            why="The stopped process still listens, and no flag gets past a listener.",
        ),
        Signal("send SIGTERM to the old one", "daytime", "TERM"),
        See(
            "what the holder does",
            "doing",
            expect="daytime is stopped",
            why="SIGTERM stays pending until SIGCONT.",
        ),
        Signal("kill it", "daytime", "KILL"),
        Start(
            "start a new server",
            "new",
            ServerSpec(reuseaddr=True),
            expect="ok",
            why="SIGKILL kills a stopped process as well. The connection in its queue was "
            "reset, which leaves no TIME_WAIT.",
        ),
    ),
)
