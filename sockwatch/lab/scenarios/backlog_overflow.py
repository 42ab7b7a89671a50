from sockwatch.lab.model import ClientSpec, ServerSpec
from sockwatch.lab.observations import See
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.steps import Connect, Start

SCENARIO = Scenario(
    number=19,
    name="backlog-overflow",
    title="The accept queue is full: clients wait, and nothing says why",
    claim="listen(fd, 1) lets one client wait.",
    finding="Linux lets backlog + 1 wait. Beyond that it drops handshakes, and the clients hang "
    "in connect() until a timeout, with no error on either side.",
    ports=(10013,),
    steps=(
        Start(
            "a server with backlog 1 that never accepts",
            "busy",
            ServerSpec(backlog=1, accepts=False),
            expect="ok",
        ),
        Connect(
            "two clients connect",
            "client",
            ClientSpec(count=2, closes="nobody"),
            expect="ok",
            why="The kernel completes the handshake; the connections wait for accept().",
        ),
        See("the accept queue", "queue", expect="2/1", why="One more than the backlog."),
        Connect(
            "two more clients connect, and soon give up",
            "late",
            ClientSpec(count=2, closes="nobody", patience_s=0.3),
            expect="0 connected, 2 waiting",
            why="The kernel drops their SYNs as long as the queue is full; they retry after "
            "1 s, 2 s, 4 s and so on.",
        ),
        See("the accept queue", "queue", expect="2/1"),
    ),
)
