from sockwatch.lab.model import ClientSpec, ServerSpec
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.step import Step
from sockwatch.lab.steps import Connect, EndTimeWaits, ServerCloses, Signal, Start


def _pair(old: bool, new: bool) -> tuple[Step, ...]:
    words = {False: "without", True: "with"}
    both = old and new
    steps: tuple[Step, ...] = (
        Start(
            f"start the old server {words[old]} SO_REUSEADDR",
            "old",
            ServerSpec(reuseaddr=old),
            expect="ok",
            why="Each connection that it accepts copies this flag, and so does its TIME_WAIT.",
        ),
        Connect(
            "a client connects",
            "client",
            ClientSpec(closes="nobody"),
            servers=("old",),
            expect="ok",
        ),
        ServerCloses("the server closes first: a TIME_WAIT stays", "old", "client"),
        Signal("kill the old server", "old", "KILL"),
        Start(
            f"start the new server {words[new]} SO_REUSEADDR",
            "new",
            ServerSpec(reuseaddr=new),
            expect="ok" if both else "EADDRINUSE",
            why="Both sides have the flag: the new socket may pass the TIME_WAIT."
            if both
            else "The kernel requires the flag on both sockets. One of them lacks it.",
        ),
    )
    if both:
        steps = (*steps, Signal("kill the new server", "new", "KILL"))
    return (*steps, EndTimeWaits("end the TIME_WAIT", expect="1 ended"))


SCENARIO = Scenario(
    number=2,
    name="both-must-set",
    title="SO_REUSEADDR counts only if the old and the new socket both have it",
    claim="To reuse an address and port, the old and the new socket must both have SO_REUSEADDR;"
    " one of the two is not enough.",
    finding="True. So the first restart after the flag was added to the code still fails: what"
    " the old binary left behind has no flag.",
    ports=(10013,),
    steps=(
        *_pair(old=True, new=True),
        *_pair(old=False, new=False),
        *_pair(old=False, new=True),
        *_pair(old=True, new=False),
    ),
)
