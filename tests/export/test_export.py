"""`sockwatch export` as Prometheus, systemd and hostile clients meet it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import NoReturn

import pytest

from sockwatch.cli.export import FailedCalls, data_text
from sockwatch.cli.export_server import serve
from sockwatch.cli.metrics import write_file
from tests.support.privilege import REAL_ROOT, needs_btf, needs_root
from tests.support.tools import need
from tests.support.user import run_as_user
from tests.support.waiting import PATIENCE_S, wait_until

COMMAND = [sys.executable, "-m", "sockwatch"]
PORT = 9917
pytestmark = pytest.mark.usefixtures("netns")


@contextmanager
def exporting(*arguments: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    """One that listens; `said` is what it said last. It is killed if it is still there."""
    with subprocess.Popen(
        [*COMMAND, "export", *arguments], stderr=subprocess.PIPE, text=True, env=os.environ | more
    ) as process:
        try:
            assert process.stderr is not None
            said = iter(process.stderr.readline, "")
            line = next(filter(lambda each: "serving" in each, said), "")
            assert line
            process.said = line  # type: ignore[attr-defined]
            yield process
        finally:
            process.kill()


def scraped(port: int = PORT, path: str = "/metrics") -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_S) as answer:
        return str(answer.read(), "utf-8")


def test_a_scrape_and_sigterm() -> None:
    with exporting() as process:
        text = scraped()
        assert 'sockwatch_restart_blocked{address="127.0.0.1",netns="' in text
        assert f'port="{PORT}"' in text
        assert 'code="failed-binds-unwatched"' not in text or os.geteuid() != 0
        assert scraped(path="/").startswith("sockwatch")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            scraped(path="/etc/passwd")
        assert "every user of this host" in process.said  # type: ignore[attr-defined]
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
    with exporting() as process:  # at once, though a TIME_WAIT may be left
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130


def test_who_can_read_it_is_said() -> None:
    with exporting("--listen", "0.0.0.0:0") as process:
        said = process.said  # type: ignore[attr-defined]
        assert "everybody who reaches this host, without encryption" in said


@pytest.mark.parametrize(
    ("where", "code", "said"),
    [
        ("localhost", 2, "no address to listen on"),
        ("127.0.0.1:70000", 2, "no address to listen on"),
        ("192.0.2.7:9917", 3, "sockwatch why 192.0.2.7:9917 says why"),
        ("/nonexistent/sock", 3, "cannot listen on '/nonexistent/sock'"),
    ],
)
def test_where_it_cannot_listen(where: str, code: int, said: str) -> None:
    done = subprocess.run(
        [*COMMAND, "export", "--listen", where],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == code
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_slow_and_hostile_clients_do_not_stop_it() -> None:
    with exporting() as process, contextlib.ExitStack() as stack:
        for number in range(60):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", PORT)))
            with contextlib.suppress(OSError):  # the oldest have gone by then
                sock.sendall(
                    (b"GET /metrics HT", b"\x16\x03\x01\xff", b"", b"\0" * 999)[number % 4]
                )
        for _ in range(3):
            assert "sockwatch_looks_total" in scraped()
        assert len(os.listdir(f"/proc/{process.pid}/task")) < 40
        process.terminate()
        assert process.wait(PATIENCE_S) == 0


def test_ten_at_once_share_a_look() -> None:
    texts: list[str] = []
    with exporting():
        threads = [threading.Thread(target=lambda: texts.append(scraped())) for _ in range(10)]
        # A thread has the network namespace of the one that started it.
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    looks = [
        float(re.findall(r"^sockwatch_looks_total (\S+)", text, re.MULTILINE)[0]) for text in texts
    ]
    assert len(looks) == 10
    assert max(looks) < 10


def unix_scrape(path: str) -> str:
    connection = HTTPConnection("localhost", timeout=PATIENCE_S)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(path)
    connection.request("GET", "/metrics")
    return connection.getresponse().read().decode()


def test_a_unix_socket_goes_with_it(tmp_path: Path) -> None:
    path = str(tmp_path / "export.sock")
    for _ in range(2):  # the second finds what the first, killed, has left
        with exporting("--listen", path) as process:
            assert "sockwatch_looks_total" in unix_scrape(path)
            assert os.stat(path).st_mode & 0o777 == 0o660
    with exporting("--listen", path) as process:
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
    assert not os.path.exists(path)


def test_a_socket_of_systemd() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        script = f'exec 3<&{listener.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
        with subprocess.Popen(
            ["bash", "-c", script, "-", *COMMAND, "export"], pass_fds=[listener.fileno()],
            stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            try:
                assert "sockwatch_looks_total" in scraped(port)
            finally:
                process.kill()


def test_tls_asks_for_a_certificate(tmp_path: Path) -> None:
    need("openssl")
    cert, key = str(tmp_path / "cert"), str(tmp_path / "key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key,
         "-out", cert, "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    url = f"https://127.0.0.1:{PORT}/metrics"
    tls = ("--tls-cert", cert, "--tls-key", key, "--client-ca", cert)
    with exporting(*tls), socket.create_connection(("127.0.0.1", PORT)) as slow:
        slow.sendall(b"\x16\x03\x01")  # in the middle of a handshake it holds up nobody
        context = ssl.create_default_context(cafile=cert)
        with pytest.raises(OSError, match=r"certificate required|reset|EOF|closed"):
            urllib.request.urlopen(url, context=context, timeout=PATIENCE_S).read()
        context.load_cert_chain(cert, key)
        with urllib.request.urlopen(url, context=context, timeout=PATIENCE_S) as answer:
            assert b"sockwatch_looks_total" in answer.read()


@needs_root
@needs_btf
def test_failed_binds_are_counted() -> None:
    with exporting(), socket.socket() as holder:
        holder.bind(("127.0.0.1", 8080))
        for _ in range(3):
            with socket.socket() as second, pytest.raises(OSError, match="in use"):
                second.bind(("127.0.0.1", 8080))

        def counted() -> int:
            found = re.findall(r'failed_binds_total\{.*port="8080".*\} (\S+)', scraped())
            return sum(map(int, map(float, found)))

        wait_until(lambda: counted() == 3, scraped, pause_s=0.1)
        assert 'errno="EADDRINUSE"' in scraped()


def test_without_privilege_gaps_say_so() -> None:
    done = run_as_user([*COMMAND, "metrics"])
    assert done.returncode == 0
    assert 'sockwatch_gap{code="failed-binds-unwatched"} 1.0' in done.stdout
    assert "Traceback" not in done.stderr


def test_a_file_is_replaced_at_once(tmp_path: Path) -> None:
    need("promtool")
    path = tmp_path / "sockwatch.prom"
    path.write_text("old")
    done = subprocess.run(
        [*COMMAND, "metrics", "--output", str(path)], check=False, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, b"")
    assert path.stat().st_mode & 0o777 == 0o644
    text = path.read_bytes()
    assert text.endswith(b"\n")
    assert b"_looks_total" not in text
    assert os.listdir(tmp_path) == [path.name]
    subprocess.run(["promtool", "check", "metrics"], input=text, check=True, timeout=60)
    missing = subprocess.run(
        [*COMMAND, "metrics", "--output", str(tmp_path / "no" / "file")],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert missing.returncode == 3
    assert "No such file" in missing.stderr


@needs_root
def test_a_port_that_nat_takes() -> None:
    need("nft")
    rules = """
        add table ip shop
        add chain ip shop pre { type nat hook prerouting priority -100; }
        add rule ip shop pre tcp dport 8080 dnat to 10.0.0.2:80
        add rule ip shop pre tcp dport 8081 dnat to 10.0.0.2:80
        add rule ip shop pre tcp dport 8082 accept
    """
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True, timeout=60)
    with socket.create_server(("127.0.0.1", 8081)):
        done = subprocess.run(
            [*COMMAND, "metrics"], check=True, capture_output=True, text=True, timeout=60
        )
    found = re.findall(r'_without_listener\{.*port="(\d+)".*\} (\S+)', done.stdout)
    assert found == [("8080", "1.0"), ("8081", "0.0")]


def test_what_to_install_is_said(tmp_path: Path) -> None:
    hide = "import sys; sys.modules['prometheus_client'] = None; from sockwatch.cli import main"
    done = subprocess.run(
        [sys.executable, "-c", f"{hide}; sys.argv = ['sockwatch', 'metrics']; sys.exit(main())"],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 3
    assert "pip install 'sockwatch[export]'" in done.stderr


def test_prometheus_scrapes_it_and_an_alert_fires(tmp_path: Path) -> None:
    need("prometheus")
    rules = re.sub(r"for: \w+", "for: 0s", data_text("rules"))
    (tmp_path / "rules.yml").write_text(rules)
    scrape = {
        "job_name": "sockwatch", "scrape_interval": "1s",
        "static_configs": [{"targets": [f"127.0.0.1:{PORT}"]}],
    }  # fmt: skip
    document = {
        "global": {"evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [scrape],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(document))
    with exporting(), socket.create_server(("127.0.0.1", 8080)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        clients = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        server.close()
        clients.close()  # leaves a TIME_WAIT, without the flag of the listener
        process = subprocess.Popen(
            ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
             "--web.listen-address=127.0.0.1:9090"],
            cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

        def fires() -> bool:
            try:
                text = scraped(9090, "/api/v1/alerts")
            except OSError:
                return False
            return any(
                alert["labels"]["alertname"] == "SockwatchRestartWouldFail"
                and alert["labels"]["port"] == "8080"
                and alert["state"] == "firing"
                for alert in json.loads(text)["data"]["alerts"]
            )

        try:
            wait_until(fires, pause_s=0.2)
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize("accept", ["application/openmetrics-text; version=x", "\xff" * 99, ";=,"])
def test_an_odd_accept_header_gets_an_answer(accept: str) -> None:
    with exporting() as process:
        connection = HTTPConnection("127.0.0.1", PORT, timeout=PATIENCE_S)
        connection.request("GET", "/metrics", headers={"Accept": accept})
        assert b"sockwatch_looks_total" in connection.getresponse().read()
        process.terminate()
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_page_that_fails_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def page(_: str) -> tuple[str, bytes]:
        raise TypeError

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener, page, None), daemon=True).start()
        with pytest.raises(urllib.error.HTTPError, match="500"):
            scraped(listener.getsockname()[1])
    assert capsys.readouterr().err == "sockwatch: a request got no answer: TypeError\n"


def test_calls_that_are_counted_no_more_are_a_gap(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Watch:
        lost = 0

        def wait(self) -> NoReturn:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("sockwatch.watch.FailureWatch", Watch)
    failed = FailedCalls()
    wait_until(lambda: failed.families() is None)
    wait_until(lambda: "counted no more: OSError" in capsys.readouterr().err)


@pytest.mark.parametrize("kind", ["link", "fifo", "device"])
def test_what_is_no_file_is_not_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "sockwatch.prom"
    if kind == "link":
        path.symlink_to("/dev/null")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        if not REAL_ROOT:
            pytest.skip("needs root, to make a device")
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    before = path.lstat()
    done = subprocess.run(
        [*COMMAND, "metrics", "--output", str(path)],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is there and no regular file" in done.stderr
    assert os.path.samestat(path.lstat(), before)
    assert os.listdir(tmp_path) == [path.name]


def test_what_a_killed_run_has_left_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / f".sockwatch.prom.{os.getpid()}").write_text("half")
    write_file(str(tmp_path / "sockwatch.prom"), b"whole\n")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["whole\n"]


def test_metrics_of_a_document() -> None:
    with socket.create_server(("127.0.0.1", 8080)):
        full = subprocess.run([*COMMAND, "snapshot"], check=True, capture_output=True, timeout=60)
    done = subprocess.run(
        [*COMMAND, "--from", "-", "metrics"], input=full.stdout, check=True, capture_output=True,
        timeout=60,
    )  # fmt: skip
    text = done.stdout.decode()
    assert re.search(r'sockwatch_restart_blocked\{.*port="8080".*\} 0.0', text)
    assert "sockwatch_look_age_seconds" in text
    assert 'sockwatch_gap{code="nat-rules-unseen"}' in text
