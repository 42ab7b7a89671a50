from sockwatch.lab.model import ServerSpec
from sockwatch.lab.observations import See
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.steps import Listen, Start

_BOUND = ServerSpec(reuseaddr=True, backlog=None)

SCENARIO = Scenario(
    number=6,
    name="bind-twice-listen-once",
    title="Both bind, and the second listen() fails",
    claim="If bind() succeeded, the port is mine.",
    finding="No: bind() with SO_REUSEADDR on both sides passes as long as nobody listens. listen()"
    " runs the same test again, and then it can fail with EADDRINUSE.",
    ports=(10013,),
    needs=("bound sockets",),
    steps=(
        Start("the first binds with SO_REUSEADDR", "first", _BOUND, expect="ok"),
        Start(
            "the second binds the same address with SO_REUSEADDR",
            "second",
            _BOUND,
            expect="ok",
            why="Both have the flag and neither listens yet, so both may hold the port.",
        ),
        See("what the port shows", expect="2 BOUND"),
        Listen("the first listens", "first", expect="ok"),
        Listen(
            "the second listens",
            "second",
            expect="listen EADDRINUSE",
            why="The first is a listener now, and SO_REUSEADDR does not get past a "
            "listener. A program that checks only bind() never learns that it does not "
            "listen.",
        ),
        See("what the port shows now", expect="1 LISTEN, 1 BOUND"),
    ),
)
