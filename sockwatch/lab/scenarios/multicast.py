from dataclasses import replace

from sockwatch.lab.model import ServerSpec
from sockwatch.lab.observations import Send
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.step import Step
from sockwatch.lab.steps import Signal, Start

GROUP = "239.192.0.13"  # for use within an organisation, RFC 2365; here it stays on loopback


_PLAIN = ServerSpec(protocol="udp", address=GROUP, group=GROUP)


def _pair(flag: str, spec: ServerSpec) -> tuple[Step, ...]:
    return (
        Start(f"the first joins {GROUP} with {flag}", "first", spec, expect="ok"),
        Start(
            f"the second binds and joins the same with {flag}",
            "second",
            spec,
            expect="ok",
            why="A multicast address is bound like any other: only the flags decide.",
        ),
        Send(
            "a datagram to the group",
            "sender",
            GROUP,
            ("first", "second"),
            expect="first, second",
            why="A multicast datagram is copied to every member, whichever flag they share.",
        ),
        Signal("kill the first", "first", "KILL"),
        Signal("kill the second", "second", "KILL"),
    )


SCENARIO = Scenario(
    number=8,
    name="multicast",
    title="Several programs in one multicast group",
    claim="For a multicast address SO_REUSEADDR and SO_REUSEPORT are the same.",
    finding="True for who may bind and who receives: each member gets every datagram. But "
    "SO_REUSEPORT still requires the same user on both sides.",
    ports=(10013,),
    needs=("own network",),
    steps=(
        *_pair("SO_REUSEADDR", replace(_PLAIN, reuseaddr=True)),
        *_pair("SO_REUSEPORT", replace(_PLAIN, reuseport=True)),
        Start(
            "one without any flag",
            "first",
            _PLAIN,
            expect="ok",
        ),
        Start(
            "another with SO_REUSEADDR",
            "second",
            replace(_PLAIN, reuseaddr=True),
            expect="EADDRINUSE",
            why="The flag on one side only does not help here either.",
        ),
    ),
)
