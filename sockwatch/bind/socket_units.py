"""Causes of a socket that systemd holds for something that it runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from sockwatch.bind import fixes
from sockwatch.bind.acts import StopUnits
from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.evidence import Evidence, Explanation
from sockwatch.bind.model import Cause, Fix
from sockwatch.bind.programs import LOGINS
from sockwatch.model import (
    Process,
    Socket,
    SocketUnit,
    is_own_manager,
    is_service_manager,
    manager_uid,
)
from sockwatch.units import plural, verb

LOGIN_UNITS: Final = LOGINS | {"ssh"}  # as Debian calls sshd's
USE_PASSED: Final = Fix("in the service, use the socket that systemd passes: sd_listen_fds(3)")


def systemd(evidence: Evidence) -> Explanation | None:
    """A socket unit. Its service may have the socket too, and then both have to be stopped."""
    manager = next((p for p in evidence.processes if is_service_manager(p)), None)
    if manager is None:
        return None
    held = _Held(evidence, manager)
    if not is_own_manager(manager):
        container = manager.origin.container if manager.origin else None
        inside = f" in {container.label}" if container else ""
        text = f"{held.who}{inside}, which is not this host's, listens on {evidence.where}"
        stop = Fix("stop the socket unit in the container that it runs")
        return held.cause(f"{text} for a socket unit"), (stop,)
    listens = f"{held.who} listens on {evidence.where}"
    if held.units is None:
        return held.cause(f"{listens} for a socket unit"), (held.find_unit(), *held.end_others())
    units = [unit for unit in held.units if not unit.has_failed]
    if not units:
        text = f"{held.who} keeps {evidence.where}, but none of its socket units listens there"
        return held.cause(text), (held.find_service(), *held.end_others())
    if len(units) > 1 and not all(unit.reuseport for unit in units):
        # All but one listen in other network namespaces: NetworkNamespacePath= of systemd.exec(5).
        text = f"{listens} for {' or '.join(unit.name for unit in units)}"
        return held.cause(text), (held.find_unit(), *held.end_others())
    running = held.running(units)
    cause = held.cause(
        f"{listens} for {_said(units)}", *(f"{name} has another" for name in running)
    )
    return cause, held.stay(units) or held.stop(units, running)


class _Held(NamedTuple):
    """A blocker that a systemd holds, and perhaps others."""

    evidence: Evidence
    manager: Process

    @property
    def uid(self) -> int | None:
        return manager_uid(self.manager)

    @property
    def who(self) -> str:
        whose = "" if self.uid is None else f" of user {self.manager.user}"
        return f"systemd (pid {self.manager.pid}){whose}"

    @property
    def units(self) -> list[SocketUnit] | None:
        """The units with the address of the blocker; None if it is unknown which have."""
        units, owner = self.evidence.snapshot.socket_units, self.evidence.blocker.owner
        if self.manager.pid not in units or not isinstance(owner, Socket):
            return None
        return [unit for unit in units[self.manager.pid] if unit.is_for(owner)]

    @property
    def others(self) -> list[Process]:
        return [process for process in self.evidence.processes if process is not self.manager]

    def cause(self, text: str, *seen: str) -> Cause:
        failed = (unit.name for unit in self.units or () if unit.has_failed)
        evidence = (
            f"{self.who} has an fd of the socket",
            *seen,
            *(f"{name}, which has failed, is for this address too" for name in failed),
        )
        return Cause(CauseId.SYSTEMD_SOCKET, text, evidence)

    def find_unit(self) -> Fix:
        command = fixes.systemctl(self.uid, "list-sockets", "--all")
        return Fix("find the unit by its address", command)

    def find_service(self) -> Fix:
        text = "find the service that has stored it: FileDescriptorStoreMax= of systemd.service(5)"
        words = ("show", "*.service", "-p", "Id", "-p", "NFileDescriptorStore")
        return Fix(text, fixes.systemctl(self.uid, *words))

    def is_of(self, units: Iterable[SocketUnit], process: Process | None) -> bool:
        """Whether the process is of a service that one of the units starts."""
        service = process.service if process is not None else None
        if service is None or service.manager_uid != self.uid:
            return False
        return any(unit.activates == service.name for unit in units)

    def running(self, units: Iterable[SocketUnit]) -> list[str]:
        """The services of the units that hold the socket too."""
        names = (p.service.name for p in self.others if p.service and self.is_of(units, p))
        return list(dict.fromkeys(names))

    def end_others(self, units: Sequence[SocketUnit] = ()) -> tuple[Fix, ...]:
        """What has to follow for holders that are not of the units."""
        others = [process for process in self.others if not self.is_of(units, process)]
        facts = self.evidence.snapshot.facts
        stop = fixes.stop(others, self.evidence.failing, facts)
        leave = fixes.leave(others, facts.ancestors)
        return tuple(fix._replace(step="then") for fix in stop or leave)

    def stay(self, units: Sequence[SocketUnit]) -> tuple[Fix, ...]:
        """A word on what has to stay; nothing where all may be stopped."""
        for unit in units:
            names = {name.split(".")[0].split("@")[0] for name in (unit.name, unit.activates or "")}
            if names & LOGIN_UNITS:
                text = f"leave {unit.name} running: people log in through it; choose another port"
                return (Fix(text),)
        own = [process for process in self.others if self.is_of(units, process)]
        return fixes.leave(own, self.evidence.snapshot.facts.ancestors)

    def stop(self, units: Sequence[SocketUnit], running: Sequence[str]) -> tuple[Fix, ...]:
        """Stop the units, their services where these hold the socket, and then other holders."""
        use = (USE_PASSED,) if self.is_of(units, self.evidence.failing) else ()
        if use:
            running = ()  # to stop the service would end what fails
        text = f"stop {'the socket unit' if len(units) == 1 else 'the socket units'}"
        if more := sum(unit.addresses - 1 for unit in units):
            has = verb(len(units), "has")
            text += f", which {has} {plural(more, 'other address', 'other addresses')} too"
        if running:
            comma = "," if more else ""
            whose = "its service" if len(units) == 1 else "their services"
            text += f"{comma} and {whose}; one of them is not enough"
        names = (*(unit.name for unit in units), *running)
        ending = tuple(each for each in self.others if running and self.is_of(units, each))
        stop = Fix(
            text,
            fixes.systemctl(self.uid, "stop", *names),
            act=StopUnits(names, self.uid, ending),
        )
        return (*use, stop, *self.end_others(units))


def _said(units: Sequence[SocketUnit]) -> str:
    """``web.socket, which starts web.service``."""
    names = " and ".join(unit.name for unit in units)
    services = dict.fromkeys(unit.activates for unit in units if unit.activates)
    what = " and ".join(services) if services else "a service for each connection"
    return f"{names}, which {verb(len(units), 'starts')} {what}"
