from sockwatch.lab.model import ServerSpec
from sockwatch.lab.observations import See, Ss
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.steps import CloseSockets, Start

SCENARIO = Scenario(
    number=13,
    name="bound-only",
    title="Bound but never listening: it blocks, and no list shows it",
    claim="ss -ltn shows nothing on the port, so bind() will succeed.",
    finding="bind() alone already owns the port. ss -l, netstat and lsof -i do not show such a"
    " socket; sockwatch asks the kernel for it (Linux 6.8 or newer).",
    ports=(10013,),
    needs=("bound sockets",),
    steps=(
        Start(
            "a process binds port 10013 and does not listen",
            "sleeper",
            ServerSpec(backlog=None),
            expect="ok",
        ),
        Ss(
            "what ss -ltn shows",
            expect="nothing",
            why="A socket that is only bound is in neither the table of listeners nor "
            "that of connections.",
        ),
        See(
            "what sockwatch shows",
            expect="1 BOUND",
            why="sock_diag lists bound sockets if it is asked for state 13, BOUND_INACTIVE.",
        ),
        See("and who holds it", "holders", expect="sleeper"),
        Start(
            "start the daytime server",
            "daytime",
            expect="EADDRINUSE",
            why="An owner blocks whether it listens or not. With SO_REUSEADDR on both sides "
            "bind() would pass, since it does not listen.",
        ),
        CloseSockets("the process closes its socket", "sleeper"),
        Start("start the daytime server", "daytime", expect="ok"),
    ),
)
