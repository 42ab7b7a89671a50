"""What a process runs, in few words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockwatch.text import COMMAND_LIMIT, clean
from sockwatch.view.commands import command_words, program_name, short_command
from tests.support.build import process

PYTHON = "/usr/bin/python3.11"
JAVA = "/usr/lib/jvm/java-21-openjdk-amd64/bin/java"


def written(arguments: list[str], executable: str | None, name: str = "name") -> tuple[str, str]:
    one = process(7, name)._replace(executable=executable, arguments=tuple(arguments))
    return command_words(one), short_command(one)


@pytest.mark.parametrize(
    ("line", "executable", "command", "short"),
    [
        (f"{PYTHON} -u -m http.server 8080", PYTHON, "python3 -m http.server 8080",
         "python3 -m http.server"),
        ("python -um http.server", PYTHON, "python -m http.server", "python -m http.server"),
        ("python3 -Wignore -X dev -mhttp.server", PYTHON, "python3 -m http.server",
         "python3 -m http.server"),
        ("python3 -uW ignore /srv/shop/manage.py runserver", PYTHON,
         "python3 /srv/shop/manage.py runserver", "python3 manage.py"),
        ("python3.13t serve.py", "/opt/bin/python3.13t", "python3 serve.py", "python3 serve.py"),
        ("python3 -c serve()", PYTHON, "python3 -c serve()", "python3 -c"),
        ("python3 -", PYTHON, "python3 -", "python3 -"),
        ("pypy3.10 web.py", "/usr/bin/pypy3.10", "pypy3 web.py", "pypy3 web.py"),
        ("python3 /srv/venv/bin/gunicorn -w 3 shop:app", PYTHON, "gunicorn -w 3 shop:app",
         "gunicorn"),
        ("/srv/venv/bin/python /srv/venv/bin/uvicorn shop:app", PYTHON, "uvicorn shop:app",
         "uvicorn"),
        ("python3 -m flask run", PYTHON, "python3 -m flask run", "python3 -m flask"),
        ("python3 /srv/venv/bin/flask run -p 80", PYTHON, "flask run -p 80", "flask"),
        # A script that has the name of another program is not taken for that.
        ("python3 /tmp/bin/sshd -D", PYTHON, "python3 /tmp/bin/sshd -D", "python3 sshd"),
        (f"{JAVA} -Xmx1g -cp a.jar:b.jar -jar shop.jar --port 80", JAVA,
         "java -jar shop.jar --port 80", "java shop.jar"),
        ("java -cp x -Dport=80 com.acme.Main -jar", JAVA, "java com.acme.Main -jar", "java Main"),
        ("java --add-opens a/b=c -p mods -m shop/com.acme.Main 80", JAVA,
         "java -m shop/com.acme.Main 80", "java Main"),
        ("java -jar /opt/shop/shop.jar", JAVA, "java -jar /opt/shop/shop.jar", "java shop.jar"),
        ("java Shop.java 80", JAVA, "java Shop.java 80", "java Shop.java"),
        ("java -Xmx1g -cp …", JAVA, "java …", "java …"),
        ("/usr/bin/node --inspect server.js", "/usr/bin/node", "node server.js", "node server.js"),
        ("node -r ./hook.js --env-file .env /srv/a/server.js 80", "/usr/bin/nodejs",
         "node /srv/a/server.js 80", "node server.js"),
        ("node /srv/node_modules/.bin/vite --port 80", "/usr/bin/node", "vite --port 80", "vite"),
        ("ruby -w -I lib web.rb", "/usr/bin/ruby3.1", "ruby web.rb", "ruby web.rb"),
        ("ruby bin/rails server", "/usr/bin/ruby3.1", "rails server", "rails"),
        ("perl -MServer -we run", "/usr/bin/perl", "perl -e run", "perl -e"),
        ("perl -T -I lib web.pl 80", "/usr/bin/perl", "perl web.pl 80", "perl web.pl"),
        ("php -d x=1 -S 0:8000 -t public", "/usr/bin/php8.2", "php -S 0:8000 -t public",
         "php -S 0:8000"),
        ("php -f web.php", "/usr/bin/php8.2", "php -f web.php", "php web.php"),
        ("sh -x /srv/run.sh 80", "/usr/bin/dash", "sh /srv/run.sh 80", "sh run.sh"),
        ("bash -euo pipefail run.sh", "/usr/bin/bash", "bash run.sh", "bash run.sh"),
        ("bash -ec serve", "/usr/bin/bash", "bash -c serve", "bash -c"),
        ("-bash", "/usr/bin/bash", "bash", "bash"),
        ("dotnet exec /srv/shop.dll", "/usr/bin/dotnet", "dotnet exec /srv/shop.dll",
         "dotnet shop.dll"),
        ("python3", PYTHON, "python3", "python3"),
    ],
)  # fmt: skip
def test_interpreters(line: str, executable: str, command: str, short: str) -> None:
    name = line.split(maxsplit=1)[0].rpartition("/")[2].removeprefix("-")
    assert written(line.split(), executable, name) == (command, short)
    assert written(line.split(), None, name) == (command, short)


@pytest.mark.parametrize(
    ("arguments", "executable", "name", "command", "short"),
    [
        (["/usr/sbin/nginx", "-g", "daemon off;"], "/usr/sbin/nginx", "nginx",
         "nginx -g daemon off;", "nginx"),
        (["nginx: master process /usr/sbin/nginx"], "/usr/sbin/nginx", "nginx",
         "nginx: master process /usr/sbin/nginx", "nginx"),
        (["postgres: 15/main: writer  "], "/usr/lib/postgresql/15/bin/postgres", "postgres",
         "postgres: 15/main: writer", "postgres"),
        (["php-fpm: pool www"], "/usr/sbin/php-fpm8.2", "php-fpm8.2", "php-fpm: pool www",
         "php-fpm8.2"),
        (["/usr/bin/redis-server *:6379"], "/usr/bin/redis-server", "redis-server",
         "redis-server *:6379", "redis-server"),
        (["/opt/My Shop/server"], "/opt/My Shop/server", "server", "server", "server"),
        (["gunicorn: master [shop:app]"], PYTHON, "gunicorn: maste",
         "gunicorn: master [shop:app]", "gunicorn"),
        (["busybox", "httpd", "-f"], "/bin/busybox", "busybox", "busybox httpd -f", "busybox"),
        (["httpd", "-f"], "/bin/busybox", "httpd", "httpd -f", "httpd"),
        (["/sbin/init", "splash"], "/usr/lib/systemd/systemd", "systemd", "systemd splash",
         "systemd"),
        (["mysqld"], "/usr/sbin/mariadbd", "mysqld", "mariadbd (mysqld)", "mariadbd (mysqld)"),
        (["claude", "serve"], "/opt/versions/2.1.3", "claude", "claude serve", "claude"),
        (["/usr/lib/systemd/systemd-resolved"], "/usr/lib/systemd/systemd-resolved",
         "systemd-resolve", "systemd-resolved", "systemd-resolve"),
    ],
)  # fmt: skip
def test_other_programs(
    arguments: list[str], executable: str, name: str, command: str, short: str
) -> None:
    assert written(arguments, executable, name) == (command, short)


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["sshd: root@pts/0"], "python3 (sshd: root@pts/0)"),
        (["sshd"], "python3 (sshd)"),
        (["/usr/sbin/sshd"], "python3 (sshd)"),
        (["/usr/sbin/sshd", "x.py"], "python3 x.py"),
        (["java", "-jar", "x.jar"], "python3 x.jar"),
        (["", "x.py"], "python3 x.py"),
    ],
)
def test_the_executable_outdoes_what_a_program_says(arguments: list[str], command: str) -> None:
    assert written(arguments, PYTHON, "sshd")[0] == command


def test_a_title_that_pretends_is_not_in_the_column_either() -> None:
    assert written(["sshd: root"], PYTHON, "sshd")[1] == "python3 (sshd: root)"
    assert written(["/tmp/x", "-D"], "/tmp/x", "sshd") == ("x -D", "x")
    assert program_name("sshd", PYTHON) == "python3"
    assert program_name("gunicorn", PYTHON) == "gunicorn"


def test_an_unknown_command() -> None:
    unknown = process(7, "nginx")._replace(command="", arguments=())
    assert (command_words(unknown), short_command(unknown)) == ("nginx", "nginx")
    known = unknown._replace(command="nginx -g x")  # as one text alone, of a process that failed
    assert (command_words(known), short_command(known)) == ("nginx -g x", "nginx")
    assert written(["", ""], None, "nginx") == ("nginx", "nginx")


def test_a_long_command_is_cut() -> None:
    command, _ = written(["/bin/x", *["word"] * 1000], "/bin/x")
    assert len(command) == COMMAND_LIMIT


WORDS = st.one_of(
    st.sampled_from(
        ["python3", "java", "sh", "php", "-m", "-jar", "-c", "-cp", "-", "--", "…", ""]
    ),
    st.text().map(clean),
)


@given(st.lists(WORDS, max_size=6), st.sampled_from([None, PYTHON, JAVA, "/bin/dash", "/bin/x"]))
def test_any_command_line_is_told(arguments: list[str], executable: str | None) -> None:
    for text in written(arguments, executable):
        assert text
        assert text.isprintable()
        assert len(text) <= COMMAND_LIMIT
