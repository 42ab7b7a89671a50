from sockwatch.lab.model import ClientSpec, ServerSpec
from sockwatch.lab.observations import See
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.step import Step
from sockwatch.lab.steps import ClientCloses, Connect, Signal, Start


def _restart(flag: bool) -> tuple[Step, ...]:
    word = "with" if flag else "without"
    return (
        Start(
            f"start the old server {word} SO_REUSEADDR",
            "old",
            ServerSpec(reuseaddr=flag),
            expect="ok",
        ),
        Connect(
            "two clients connect and stay",
            "client",
            ClientSpec(count=2, closes="nobody"),
            servers=("old",),
            expect="ok",
            why="The server forks a child for each connection, as the article's does. The child"
            " holds the connection, not the listener.",
        ),
        Signal(
            "kill the old server, not its children",
            "old",
            "KILL",
            why="The listener is gone; the children and their connections remain.",
        ),
        See(
            "what is left on the port",
            expect="2 ESTABLISHED",
            why="Two connections in full use, held by the children of the dead server.",
        ),
        Start(
            f"start the new server {word} SO_REUSEADDR",
            "new",
            ServerSpec(reuseaddr=flag),
            expect="ok" if flag else "EADDRINUSE",
            why="Both sides have the flag, and the owner on the port does not listen: the kernel"
            " lets the new socket through, though the connections are ESTABLISHED."
            if flag
            else "The connections overlap with the new address and no flag is set, so they "
            "block for as long as they live, which may be hours.",
        ),
        ClientCloses("the clients close: the TIME_WAITs are theirs", "client"),
        See(
            "the port, when the children have closed as well",
            expect="1 LISTEN" if flag else "nothing",
        ),
        *((Signal("kill the new server", "new", "KILL"),) if flag else ()),
    )


SCENARIO = Scenario(
    number=3,
    name="live-connections",
    title="The listener is gone, its connections remain",
    claim="With SO_REUSEADDR a port can be reused while the old sockets are in TIME_WAIT; in any"
    " other state it is still an error.",
    finding="ESTABLISHED connections do not block either, if both sides have SO_REUSEADDR. Only a"
    " listener always blocks.",
    ports=(10013,),
    steps=(*_restart(flag=False), *_restart(flag=True)),
)
