from sockwatch.lab.model import EVERYWHERE, ServerSpec
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.steps import Signal, Start

SCENARIO = Scenario(
    number=5,
    name="many-addresses",
    title="One port on different addresses, then on all of them",
    claim="SO_REUSEADDR allows several servers, or several sockets of one process, on one port as"
    " long as each binds another local address.",
    finding="Different addresses never overlap, so Linux requires no flag at all. The wildcard "
    "overlaps with each, and against a listener SO_REUSEADDR does not help.",
    ports=(10013,),
    needs=("own network",),
    steps=(
        Start(
            "a server on 192.0.2.1, no flag",
            "first",
            ServerSpec(address="192.0.2.1"),
            expect="ok",
        ),
        Start(
            "another process on 192.0.2.2, the same port, no flag",
            "second",
            ServerSpec(address="192.0.2.2"),
            expect="ok",
            why="Two specific addresses do not overlap, so the flags are not even looked at.",
        ),
        Start(
            "a third process on 127.0.0.1",
            "third",
            ServerSpec(address="127.0.0.1"),
            expect="ok",
        ),
        Start(
            "the same process on 127.0.0.2 as well",
            "third",
            ServerSpec(address="127.0.0.2"),
            expect="ok",
            why="It makes no difference whether one process or several bind the addresses.",
        ),
        Start(
            "a server on all addresses, no flag",
            "wildcard",
            ServerSpec(address=EVERYWHERE),
            expect="EADDRINUSE",
            why="0.0.0.0 stands for every address of the host and overlaps with all four.",
        ),
        Start(
            "a server on all addresses with SO_REUSEADDR",
            "wildcard",
            ServerSpec(address=EVERYWHERE, reuseaddr=True),
            expect="EADDRINUSE",
            why="The others do not have the flag, nor would it help: they listen.",
        ),
        Signal("kill the first server", "first", "KILL"),
        Start(
            "a server on 192.0.2.1 again",
            "again",
            ServerSpec(address="192.0.2.1"),
            expect="ok",
            why="Only its own address matters to it.",
        ),
    ),
)
