"""Make the pictures in screenshots/ from real sockets.

Run: .venv/bin/python -m tests.screenshots

A host is staged in a network namespace of its own: a pre-forked web server with TIME_WAITs, a
group that shares a port, a database, a server that is bound but never listens, one that has gone
and left its TIME_WAITs behind, a client, name servers. Then the lab, on a stage of its own.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

from sockwatch.bind import BindRequest
from sockwatch.bind.failure import ExplainedFailure
from sockwatch.kernel.host import current_netns
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import HOST_NAME, HostSnapshot, Snapshot
from sockwatch.tui import Options
from sockwatch.tui.app import SockwatchApp
from sockwatch.tui.namespaces import HostNamespaces
from sockwatch.view.lines import wrapped
from sockwatch.view.page import Page, page_lines
from sockwatch.watch import FailureWatch
from tests.support.beds import bed, podman
from tests.support.child import idle_child
from tests.support.netns import fresh_netns
from tests.tui.host import shows

PICTURES = Path(__file__).parents[1] / "screenshots"
A, P = socket.SO_REUSEADDR, socket.SO_REUSEPORT


def rename(command: str) -> None:
    """Give this process the name and command line of the program it plays."""
    Path("/proc/self/comm").write_text(Path(command.split(maxsplit=1)[0]).name)
    start, end = map(int, Path("/proc/self/stat").read_text().rpartition(")")[2].split()[45:47])
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        memory.seek(start)
        memory.write(command.encode()[: end - start - 1].ljust(end - start, b"\0"))


def server(
    address: str,
    port: int,
    *options: int,
    kind: int = socket.SOCK_STREAM,
    backlog: int | None = 128,
) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    for option in options:
        sock.setsockopt(socket.SOL_SOCKET, option, 1)
    sock.bind((address, port))
    if kind == socket.SOCK_STREAM and backlog is not None:
        sock.listen(backlog)
    return sock


def stage(stack: ExitStack) -> None:
    """Start everything that the pictures show; it ends with the stack."""
    folder = Path(stack.enter_context(TemporaryDirectory()))

    def start(command: str, make: Callable[[], socket.socket]) -> None:
        stack.enter_context(played(folder, command, make()))

    start("/usr/sbin/sshd -D", lambda: server("0.0.0.0", 22, A))
    start("systemd-resolved", lambda: server("127.0.0.53", 53, A, kind=socket.SOCK_DGRAM))
    start("postgres -D /srv/db", lambda: server("127.0.0.1", 5432, A))
    start("redis-server *:6379", lambda: server("::1", 6379, A))
    start("java -jar metrics.jar", lambda: server("::", 9100, backlog=None))
    for _ in range(4):
        start("envoy -c envoy.yaml", lambda: server("0.0.0.0", 8443, A, P, backlog=4096))
    rename("gunicorn -w 3 shop:app")
    web = stack.enter_context(server("::", 8080, A, backlog=511))
    for _ in range(3):
        stack.enter_context(idle_child(lambda: rename("gunicorn -w 3 shop:app")))
    connect(web, 212, stack, keep=5)
    gone = server("127.0.0.1", 9000)
    connect(gone, 17, stack)
    gone.close()


@contextmanager
def played(folder: Path, command: str, sock: socket.socket) -> Iterator[None]:
    """A process that has the socket, with the name and the executable of another program."""
    program = folder / Path(command.split(maxsplit=1)[0]).name
    if not program.exists():
        shutil.copy(os.path.realpath(sys.executable), program)
    code = f"import sys\nfrom pathlib import Path\n{inspect.getsource(rename)}\n"
    code += f"rename({command!r})\nprint(flush=True)\nsys.stdin.read()"
    home = f"{sys.base_prefix}:{sys.base_exec_prefix}"
    with subprocess.Popen(
        [program, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[sock.fileno()],
        env={**os.environ, "PYTHONHOME": home},
    ) as process:
        sock.close()
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.kill()


def connect(listener: socket.socket, count: int, stack: ExitStack, keep: int = 0) -> None:
    for number in range(count):
        client = socket.create_connection(("127.0.0.1", listener.getsockname()[1]))
        accepted = listener.accept()[0]
        if number < keep:
            stack.enter_context(client)
            stack.enter_context(accepted)
        else:
            accepted.close()
            client.close()


def look(reader: SnapshotReader, port: int | None) -> Snapshot:
    snapshot = reader.take(port)
    object.__setattr__(snapshot, "host", "web-1")
    return snapshot


async def picture(name: str, size: tuple[int, int], *keys: str) -> None:
    app = SockwatchApp(Options(interval_s=0.5), partial(look, SnapshotReader()))
    async with app.run_test(size=size) as pilot:
        for key in ("", *keys):
            if key:
                await pilot.press(key)
            seen = app.latest
            app.poller.poll_now()
            while app.latest is seen:
                await pilot.pause(0.02)
        await pilot.pause()
        save(app, name)


async def acts_picture(name: str) -> None:
    """The menu for the database, over the table."""
    with SnapshotReader() as reader:
        app = SockwatchApp(Options(interval_s=0.5), partial(look, reader))
        async with app.run_test(size=(80, 24)) as pilot:
            await shows(pilot, "5432 tcp")
            await pilot.press(*"5432")
            await shows(pilot, "port 5432 ")
            await pilot.press("escape", "space")
            await shows(pilot, "by SIGTERM")
            save(app, name)


class NamespacesHere:
    """Leaves out the namespaces of whatever else runs on this machine."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._host = HostNamespaces()
        self._inodes = {os.stat(f"/proc/{pid}/ns/net").st_ino for pid in pids}
        self.take_in = self._host.take_in

    def take(self) -> HostSnapshot:
        own, *others = self._host.take().snapshots
        object.__setattr__(own, "host", "web-1")
        object.__setattr__(own, "netns", own.netns._replace(name=HOST_NAME))
        return HostSnapshot((own, *(s for s in others if s.netns.inode in self._inodes)))


async def namespaces_picture(name: str) -> None:
    """The staged host with containers, one of which has the host's 8080 too."""
    with SnapshotReader() as reader, bed() as inside:
        ports = {"web2": 8080, "cache": 6379, "metrics": 9100}
        containers = [podman(inside, name, port=port) for name, port in ports.items()]
        namespaces = NamespacesHere(container.pid for container in containers)
        app = SockwatchApp(Options(interval_s=0.5), reader.take, namespaces=namespaces)
        async with app.run_test(size=(80, 24)) as pilot:
            await shows(pilot, "sshd")
            await pilot.press("N")
            await shows(pilot, "all namespaces (4)")
            await pilot.press(*["down"] * 6)
            await shows(pilot, "in / ")  # asked in its namespace
            save(app, name)


async def lab_picture(name: str, *scene: tuple[str, str]) -> None:
    """Press each key and wait for what then has to be on the screen, on a real stage."""
    with SnapshotReader() as reader:
        app = SockwatchApp(Options(interval_s=0.5), reader.take)
        async with app.run_test(size=(80, 24)) as pilot:
            await shows(pilot, "l lab")
            for keys, text in (("l", "sandbox: free play, waiting"), *scene):
                await pilot.press(*keys.split())
                await shows(pilot, text)
            save(app, name)
        app.labs.join()


class WatchHere(FailureWatch):
    """Leaves out what else fails on the host meanwhile."""

    def wait(self, timeout_s: float | None = None) -> tuple[ExplainedFailure, ...]:
        here = current_netns().inode
        found = super().wait(timeout_s)
        return tuple(each for each in found if each.failure.netns_inode == here)


async def failures_picture(name: str) -> None:
    """Servers that are started on the ports of the staged host, again and again."""
    with SnapshotReader() as reader:
        app = SockwatchApp(Options(interval_s=0.5), reader.take, open_watch=WatchHere)
        async with app.run_test(size=(80, 24)) as pilot:
            await shows(pilot, "f failures")
            await pilot.press("f")
            await shows(pilot, "no call has failed yet")
            for command, address, port, times in (
                ("postgres -D /srv/new", "127.0.0.1", 5432, 1),
                ("caddy run", "192.0.2.80", 80, 2),
                ("node server.js", "::", 9100, 3),
                ("nginx -g daemon", "0.0.0.0", 8080, 43),
            ):
                fail = partial(fail_to_bind, command, address, port, times)
                with idle_child(fail):
                    await shows(pilot, f" {times} ")
                    await shows(pilot, command.split()[0])
            await shows(pilot, "43 times")
            save(app, name)


def fail_to_bind(command: str, address: str, port: int, times: int) -> None:
    rename(command)
    for _ in range(times):
        with suppress(OSError):
            server(address, port, A).close()
        time.sleep(0.02)  # a unit that is restarted, at a hundred times its speed


def answer_picture(name: str, port: int) -> None:
    """What `sockwatch PORT` prints."""
    console = Console(record=True, width=82, file=io.StringIO())
    with SnapshotReader() as reader:
        page = Page.about(BindRequest("tcp", "0.0.0.0", port), reader.take(port), "::")
    console.print(Text(f"$ sockwatch {port}", style="bold"))
    for line in wrapped(page_lines(page, page.language), 80):
        console.print(Text(str(line)))
    write(console.export_svg(title="sockwatch"), name)


def save(app: SockwatchApp, name: str) -> None:
    write(app.export_screenshot(title="sockwatch"), name)


def write(svg: str, name: str) -> None:
    # The picture must not fetch a font from anywhere, and every reader is to keep its spaces.
    svg = re.sub(r"@font-face\s*{[^}]*}", "", svg)
    svg = svg.replace("<text ", '<text xml:space="preserve" ')
    (PICTURES / f"{name}.svg").write_text(svg)


def main() -> None:
    with fresh_netns(), ExitStack() as stack:
        Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("40000 60999")
        stage(stack)
        os.chdir("/")  # the folder that the pictures show
        answer_picture("answer", 8080)
        os.environ["TEXTUAL_ANIMATIONS"] = "none"
        for name, size, keys in (
            ("main-80x24", (80, 24), ["down", "down", "down", "down"]),
            ("main-120x40", (120, 40), ["down", "down", "down", "down"]),
            ("details-80x24", (80, 24), ["slash", *"8080", "enter", "enter"]),
            ("filter-80x24", (80, 24), ["slash", *"state:time_wait", "space", *"flga:none"]),
        ):
            asyncio.run(picture(name, size, *keys))
        asyncio.run(acts_picture("acts-80x24"))
        asyncio.run(failures_picture("failures-80x24"))
        asyncio.run(namespaces_picture("namespaces-80x24"))
    # The lab makes its own stage, so it needs nothing of the one above.
    six_steps = [("n", f"{number}/8") for number in range(1, 7)]
    asyncio.run(lab_picture("lab-80x24", *six_steps, ("v", "without calls")))
    wrong_port = "tab right tab tab 9 9 9 9 9 tab space enter"
    asyncio.run(
        lab_picture(
            "lab-form-80x24", ("a", "SO_REUSEADDR"), (wrong_port, "'99999' is not a port: type 0")
        )
    )


if __name__ == "__main__":
    main()
