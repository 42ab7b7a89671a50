from sockwatch.lab.model import ClientSpec, ServerSpec
from sockwatch.lab.observations import See
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.steps import Connect, EndChildren, Signal, Start

_PREFORKING = ServerSpec(reuseaddr=True, workers=2, closes="client")
_CLOSING = ClientSpec(closes="client")  # leaves no TIME_WAIT on the server's port

SCENARIO = Scenario(
    number=20,
    name="orphaned-workers",
    title="The master is dead, and its workers keep serving: it cannot be started again",
    claim="The server was killed, and SO_REUSEADDR is set: it can be started again at once.",
    finding="Not while one of its workers runs. Each has the listening socket by fork(), and none"
    " of them ends with the master. All have to be ended.",
    ports=(10013,),
    steps=(
        Start(
            "start a server that listens and forks two workers, with SO_REUSEADDR",
            "master",
            _PREFORKING,
            expect="ok",
            why="As gunicorn, nginx and php-fpm do: the master opens the socket and accepts"
            " nothing; its workers take turns.",
        ),
        Connect("a client reads the time", "client", _CLOSING, servers=("master",), expect="ok"),
        See(
            "who holds the port",
            "holders",
            expect="master, worker",
            why="One socket, with an fd in each of the three processes.",
        ),
        Signal(
            "kill the master",
            "master",
            "KILL",
            why="SIGKILL leaves it no time to end its workers. The kernel gives them to another"
            " parent, as a rule to the process with pid 1.",
        ),
        See("who holds the port now", "holders", expect="worker"),
        Connect(
            "a client reads the time",
            "client",
            _CLOSING,
            expect="ok",
            why="The workers go on as if nothing had happened: from outside, the server runs.",
        ),
        Start(
            "start the server again, with SO_REUSEADDR",
            "master-2",
            _PREFORKING,
            expect="EADDRINUSE",
            why="The socket is still in LISTEN, and no flag gets past a listener. There is no"
            " parent left to stop: the workers have to be found by the socket they hold.",
        ),
        EndChildren("end both workers", "master", expect="2 ended"),
        Start(
            "start the server again, with SO_REUSEADDR",
            "master-2",
            _PREFORKING,
            expect="ok",
            why="The last reference is gone, and the port with it. The clients closed first, so"
            " the TIME_WAITs are theirs.",
        ),
        Connect("a client reads the time", "client", _CLOSING, servers=("master-2",), expect="ok"),
    ),
)
