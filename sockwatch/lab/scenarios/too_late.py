from sockwatch.lab.model import ClientSpec, ServerSpec
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.steps import Connect, EndTimeWaits, ServerCloses, SetFlag, Signal, Start

SCENARIO = Scenario(
    number=15,
    name="too-late",
    title="SO_REUSEADDR set after bind(), or on the accepted socket",
    claim="Set SO_REUSEADDR before bind().",
    finding="True for the socket that binds: later is too late. On the accepted connection it "
    "is not too late: its TIME_WAIT then has the flag.",
    ports=(10013,),
    steps=(
        Start(
            "the old server, without the flag, one process for all",
            "old",
            ServerSpec(forks=False),
            expect="ok",
        ),
        Connect(
            "a client connects",
            "client",
            ClientSpec(closes="nobody"),
            servers=("old",),
            expect="ok",
        ),
        SetFlag(
            "the server sets SO_REUSEADDR on the accepted connection",
            "old",
            "SO_REUSEADDR",
            "connection",
            expect="ok",
            why="The connection has copied the listener's flags when it was made; from then on it"
            " has its own.",
        ),
        ServerCloses("the server closes first", "old", "client"),
        Signal("kill the old server", "old", "KILL"),
        Start(
            "the new server sets SO_REUSEADDR after bind()",
            "new",
            ServerSpec(reuseaddr=True, late=True),
            expect="EADDRINUSE",
            why="The flag was not set yet when bind() ran its test.",
        ),
        Start(
            "the new server sets SO_REUSEADDR before bind()",
            "new",
            ServerSpec(reuseaddr=True),
            expect="ok",
            why="The TIME_WAIT has the flag since it was set on the connection, and the new socket"
            " has it in time.",
        ),
        Signal("kill it", "new", "KILL"),
        EndTimeWaits("end the TIME_WAIT", expect="1 ended"),
        Start(
            "a server without the flag again",
            "old",
            ServerSpec(forks=False),
            expect="ok",
        ),
        Connect(
            "a client connects",
            "client",
            ClientSpec(closes="nobody"),
            servers=("old",),
            expect="ok",
        ),
        SetFlag(
            "the server sets SO_REUSEADDR on its listener, after the connection was made",
            "old",
            "SO_REUSEADDR",
            "listener",
            expect="ok",
        ),
        ServerCloses("the server closes first", "old", "client"),
        Signal("kill the old server", "old", "KILL"),
        Start(
            "the new server sets SO_REUSEADDR before bind()",
            "new",
            ServerSpec(reuseaddr=True),
            expect="EADDRINUSE",
            why="The connection had copied the listener's flags before they changed, so its"
            " TIME_WAIT lacks the flag.",
        ),
    ),
)
