from sockwatch.lab.model import ClientSpec, ServerSpec
from sockwatch.lab.observations import See
from sockwatch.lab.restart import Restart
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.step import Step
from sockwatch.lab.steps import ClientCloses, Connect, EndTimeWaits, Start


def _served(flag: bool) -> tuple[Step, ...]:
    word = "with" if flag else "without"
    return (
        Start(
            f"start a server {word} SO_REUSEADDR, one process for all",
            "server",
            ServerSpec(reuseaddr=flag, forks=False),
            expect="ok",
        ),
        Connect(
            "two clients connect and stay",
            "client",
            ClientSpec(count=2, closes="nobody"),
            servers=("server",),
            expect="ok",
            why="The server's side of each connection has its port, and has copied its flags.",
        ),
        See("what is on the port", expect="1 LISTEN, 2 ESTABLISHED"),
    )


SCENARIO = Scenario(
    number=21,
    name="restart-predicted",
    title="Will a restart get its port? Known before the server is ended",
    claim="Whether a restart works is known only once the server has ended.",
    finding="It can be told while the server runs: its open connections become FIN_WAIT2 and then"
    " TIME_WAIT with the flags that they have now, and these decide.",
    ports=(10013,),
    steps=(
        *_served(flag=False),
        Restart(
            "kill the server, and start it again at once",
            "server",
            expect="EADDRINUSE",
            why="The listener went with the process. Its connections did not: the kernel has sent"
            " a FIN on each, and keeps it for the peer, without SO_REUSEADDR as it was.",
        ),
        See(
            "what the server has left",
            expect="2 FIN_WAIT2",
            why="No process holds them. They wait for the clients to close, up to"
            " net.ipv4.tcp_fin_timeout, 60 s as a rule.",
        ),
        ClientCloses("the clients close", "client"),
        See(
            "what the server has left now",
            expect="2 TIME_WAIT",
            why="The server's side has closed first, so the TIME_WAITs are on its port.",
        ),
        EndTimeWaits("end the TIME_WAITs instead of waiting", expect="2 ended"),
        *_served(flag=True),
        Restart(
            "kill the server, and start it again at once",
            "server",
            expect="ok",
            why="As many connections are left, now with SO_REUSEADDR, and the new socket has it"
            " too.",
        ),
        See("what is on the port", expect="1 LISTEN, 2 FIN_WAIT2"),
    ),
)
