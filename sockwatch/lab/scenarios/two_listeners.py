from sockwatch.lab.model import ServerSpec
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.steps import Signal, Start

SCENARIO = Scenario(
    number=4,
    name="two-listeners",
    title="SO_REUSEADDR does not allow a second listener on the same address",
    claim="With TCP it is not possible to start several servers on the same address and port,"
    " SO_REUSEADDR or not.",
    finding="True for SO_REUSEADDR: a socket in LISTEN always blocks. SO_REUSEPORT is another"
    " matter, see reuseport-group.",
    ports=(10013,),
    steps=(
        Start(
            "start a server with SO_REUSEADDR",
            "first",
            ServerSpec(reuseaddr=True),
            expect="ok",
        ),
        Start(
            "start a second one with SO_REUSEADDR on the same address",
            "second",
            ServerSpec(reuseaddr=True),
            expect="EADDRINUSE",
            why="Both have the flag, but the owner listens, and the flag does not get past "
            "a listener. On some other systems it does.",
        ),
        Signal("kill the first server", "first", "KILL"),
        Start(
            "start the second one again",
            "second",
            ServerSpec(reuseaddr=True),
            expect="ok",
            why="The listener was the only thing that blocked it.",
        ),
    ),
)
