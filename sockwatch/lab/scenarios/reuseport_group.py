from sockwatch.lab.model import ClientSpec, ServerSpec
from sockwatch.lab.observations import See
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.steps import Connect, Start

_MEMBER = ServerSpec(reuseport=True, forks=False)
OTHER_UID = 65534  # nobody

SCENARIO = Scenario(
    number=9,
    name="reuseport-group",
    title="Several listeners share a port with SO_REUSEPORT",
    claim="SO_REUSEPORT allows completely duplicate bindings if every socket has the option.",
    finding="True, for TCP listeners too, with one more condition on Linux: they must belong to "
    "the same user. The kernel then spreads the connections over them.",
    ports=(10013,),
    steps=(
        Start("the first member, with SO_REUSEPORT", "first", _MEMBER, expect="ok"),
        Start(
            "the second member, with SO_REUSEPORT",
            "second",
            _MEMBER,
            expect="ok",
            why="Both have SO_REUSEPORT and the same user, so two listeners share the address.",
        ),
        Connect(
            "forty clients connect",
            "client",
            ClientSpec(count=40),
            servers=("first", "second"),
            expect="2 of 2 serve",
            why="A hash of both addresses and ports chooses the listener for each connection. If"
            " one of them is last week's binary, it answers half of your users.",
        ),
        See("what the port shows", "holders", expect="first, second"),
        Start(
            "one with SO_REUSEADDR instead",
            "third",
            ServerSpec(reuseaddr=True),
            expect="EADDRINUSE",
            why="It is not the same option: a member without SO_REUSEPORT is refused.",
        ),
        Start(
            "one of another user, with SO_REUSEPORT",
            "stranger",
            ServerSpec(reuseport=True, uid=OTHER_UID),
            expect="EADDRINUSE",
            why="Otherwise any user could join the group and take a share of the "
            "connections. What counts is the user who created the socket.",
        ),
    ),
)
