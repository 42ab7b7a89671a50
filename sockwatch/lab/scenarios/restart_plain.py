from sockwatch.lab.model import ClientSpec
from sockwatch.lab.observations import See
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.steps import Connect, EndTimeWaits, ServerCloses, Signal, Start

SCENARIO = Scenario(
    number=1,
    name="restart-plain",
    title="A restart without the flag, a moment after clients were served",
    claim="A restart of a server fails while old connections use its port, unless SO_REUSEADDR"
    " is set.",
    finding="True. The side that closes first keeps each connection in TIME_WAIT for 60 s, and a"
    " new socket without SO_REUSEADDR may not share the port with it.",
    ports=(10013,),
    steps=(
        Start(
            "start the daytime server on port 10013, all addresses, without any flag",
            "old",
            expect="ok",
            why="Nothing is on the port, so bind() and listen() succeed, whatever the flags.",
        ),
        Connect(
            "three clients connect and read the time",
            "client",
            ClientSpec(count=3, closes="nobody"),
            servers=("old",),
            expect="ok",
            why="Each connection is a socket on the server's side with the server's port. It has"
            " copied the flags of the listener: none.",
        ),
        ServerCloses(
            "the server closes first, then the clients",
            "old",
            "client",
            why="The side that closes first must remember the connection for 60 s, in case "
            "the last acknowledgement was lost. Here that is the server.",
        ),
        Signal("kill the server", "old", "KILL", why="Its listener goes away with it, at once."),
        See(
            "what is left on the port",
            expect="3 TIME_WAIT",
            why="No process holds them, so no pid is shown. lsof and a list of listeners show"
            " nothing at all.",
        ),
        Start(
            "start the server again, without any flag",
            "new",
            expect="EADDRINUSE",
            why="The new socket overlaps in address with the TIME_WAITs, and neither side "
            "has SO_REUSEADDR. The timer says when the last of them expires: 60 s after "
            "the close.",
        ),
        EndTimeWaits(
            "end the TIME_WAITs instead of waiting",
            expect="3 ended",
            why="60 s is fixed in the kernel; net.ipv4.tcp_fin_timeout does not change it. Root"
            " can destroy them, and here we do so to save the minute.",
        ),
        Start(
            "start the server again",
            "new",
            expect="ok",
            why="The port is free: bind() succeeds without any flag.",
        ),
    ),
)
