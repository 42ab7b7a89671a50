from sockwatch.lab.model import ClientSpec, ServerSpec
from sockwatch.lab.observations import See
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.steps import Connect, EndChildren, ServerCloses, Signal, Start

_LEAKING = ServerSpec(reuseaddr=True, execs=True, cloexec=False)

SCENARIO = Scenario(
    number=11,
    name="leaked-listener",
    title="The server is dead, and a program it started holds its port",
    claim="The article's server forks a child for each connection, and the child executes another"
    " program. Restart works, since SO_REUSEADDR is set.",
    finding="Not while that program runs: it has inherited the listening socket, which still"
    " listens. No flag helps against a listener; close-on-exec prevents it.",
    ports=(10013,),
    steps=(
        Start(
            "start the article's server, with SO_REUSEADDR",
            "daytime",
            _LEAKING,
            expect="ok",
        ),
        Connect(
            "a client reads the time",
            "client",
            ClientSpec(closes="nobody"),
            servers=("daytime",),
            expect="ok",
            why="The server forks a child, which answers. With fork() it has inherited every fd of"
            " the server, the listening one too.",
        ),
        ServerCloses(
            "the child closes the connection and executes another program, here cat",
            "daytime",
            "client",
            why="The listening fd stays open across exec(), since it lacks close-on-exec.",
        ),
        Signal("kill the server", "daytime", "KILL"),
        See(
            "who holds the port now",
            "holders",
            expect="cat",
            why="A program that knows nothing of the port. It listens for as long as it "
            "runs: clients connect, and nobody answers them.",
        ),
        Start(
            "start the server again, with SO_REUSEADDR",
            "daytime-2",
            _LEAKING,
            expect="EADDRINUSE",
            why="The socket is still in LISTEN. Restarting again and again does not help; "
            "killing that child does.",
        ),
        EndChildren("end the child", "daytime", expect="1 ended"),
        Start(
            "start the server again, now with close-on-exec",
            "daytime-2",
            ServerSpec(reuseaddr=True, execs=True, cloexec=True),
            expect="ok",
            why="The last reference is gone, and the port with it.",
        ),
        Connect(
            "a client reads the time",
            "client",
            ClientSpec(closes="nobody"),
            servers=("daytime-2",),
            expect="ok",
        ),
        ServerCloses("the child closes the connection and executes cat", "daytime-2", "client"),
        Signal("kill the server", "daytime-2", "KILL"),
        See(
            "what is left on the port",
            expect="2 TIME_WAIT",
            why="The child keeps running, but SOCK_CLOEXEC closed its copy of the "
            "listener at exec.",
        ),
        Start(
            "start the server again, with SO_REUSEADDR",
            "daytime-3",
            ServerSpec(reuseaddr=True),
            expect="ok",
        ),
    ),
)
