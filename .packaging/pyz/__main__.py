"""Starts sockwatch from one file: unpacks it where that is safe and possible, once, and runs it.

Any Python since 2.7 can read this module, so that one that is too old is told of in a sentence.
"""

import os
import stat
import sys

from built import FILES, FOR, LIBC, MACHINE, NAME, NEEDS

HERE = os.path.dirname(os.path.abspath(__file__))
NEEDED = ".".join(map(str, NEEDS))
COULD_NOT_RUN, INTERRUPTED = 3, 130
NEWEST_MINOR = 40
ROOTS_PATH = "/usr/local/bin:/usr/bin:/bin"
CLEANED_UP = ("/var/tmp/", "/tmp/")  # file by file, by age
OTHERS_WRITE = 0o022


def main():
    if sys.version_info < NEEDS:
        run_newer()
        version = ".".join(map(str, sys.version_info[:3]))
        refuse(
            "this file needs Python %s or newer, and %s is %s; "
            "%s brings its own" % (NEEDED, sys.executable, version, FOR)
        )
    from isolation import isolate

    isolate()
    built_for = getattr(sys.implementation, "_multiarch", "")
    if os.uname()[4] != MACHINE or (built_for and not built_for.endswith(LIBC)):
        found = built_for or os.uname()[4]
        refuse("this file is for %s-linux-%s, and this Python for %s" % (MACHINE, LIBC, found))
    sys.argv[0] = HERE  # for advice, wherever we are by then
    sys.path[0] = unpacked()
    sys.dont_write_bytecode = False  # the folder is ours; without, each start compiles anew
    from sockwatch.cli import main as run

    return run()


def run_newer():
    """Become a newer Python of this host, if there is one by its usual name."""
    path = ROOTS_PATH if os.geteuid() == 0 else os.environ.get("PATH", "")
    for minor in range(NEWEST_MINOR, NEEDS[1] - 1, -1):
        for folder in path.split(os.pathsep):
            python = os.path.join(folder, "python3.%d" % minor)
            if os.path.isabs(python) and os.access(python, os.X_OK) and is_new(python):
                os.execv(python, [python, HERE] + sys.argv[1:])


def is_new(python):
    """Whether it runs: what a version manager puts into PATH may only say that it does not."""
    import subprocess

    question = "import sys; sys.exit(sys.version_info < %r)" % (NEEDS,)
    with open(os.devnull, "w") as nowhere:
        return subprocess.call([python, "-I", "-c", question], stderr=nowhere) == 0


def refuse(reason):
    sys.stderr.write("sockwatch: %s\n" % reason)
    sys.exit(COULD_NOT_RUN)


def unpacked():
    """The folder with what this file has, unpacked now if need be."""
    refusals = []
    for place in places():
        try:
            if os.path.islink(place):
                raise OSError(0, "it is a symbolic link")
            os.makedirs(place, 0o700, exist_ok=True)
            # What is checked is what is used, wherever a link leads later.
            folder = os.path.realpath(place)
            check(folder)
            return unpacked_in(folder)
        except OSError as error:
            refusals.append("%s: %s" % (place, error.strerror))
    return refuse(
        "this file cannot unpack itself; SOCKWATCH_UNPACK_TO names a folder for it (%s)"
        % "; ".join(refusals)
    )


def places():
    """Where it may be unpacked, best first; what HOME says is not asked by root."""
    environment = os.environ.get
    if environment("SOCKWATCH_UNPACK_TO"):
        return [os.path.abspath(environment("SOCKWATCH_UNPACK_TO"))]
    user = os.geteuid()
    if user == 0:
        return ["/var/cache/sockwatch", "/run/sockwatch"]
    home = os.path.expanduser("~")
    folders = [environment("XDG_CACHE_HOME") or os.path.join(home, ".cache")]
    folders += [environment("XDG_RUNTIME_DIR") or "/run/user/%d" % user]
    own = "sockwatch-%d" % user
    return [os.path.join(folder, "sockwatch") for folder in folders if os.path.isabs(folder)] + [
        os.path.join(folder, own) for folder in ("/var/tmp", "/dev/shm", "/tmp")
    ]


def check(place):
    """Raises OSError where another user could replace a file, or no program can be run."""
    folder = place
    while True:
        status = os.lstat(folder)
        if status.st_uid not in (0, os.geteuid()):
            raise OSError(0, "%s belongs to another user" % folder)
        if status.st_mode & OTHERS_WRITE and (folder == place or not status.st_mode & stat.S_ISVTX):
            raise OSError(0, "others can write to %s" % folder)
        if folder == "/":
            break
        folder = os.path.dirname(folder)
    if os.statvfs(place).f_flag & os.ST_NOEXEC:
        raise OSError(0, "it is mounted noexec")


def unpacked_in(place):
    """Raises OSError; of two that unpack at the same time, the second finds it there."""
    target = os.path.join(place, NAME)
    if is_whole(target) if target.startswith(CLEANED_UP) else os.path.isdir(target):
        return target
    import shutil
    import tempfile
    import zipfile

    sys.stderr.write("sockwatch: unpacking to %s, this once\n" % target)
    new = tempfile.mkdtemp(dir=place)
    try:
        with zipfile.ZipFile(HERE) as file, file.open("site.zip") as inner:
            zipfile.ZipFile(inner).extractall(os.path.join(new, "site"))
        damaged = os.path.join(new, "damaged")
        for old, other in ((target, damaged), (os.path.join(new, "site"), target)):
            try:
                os.rename(old, other)
            except OSError:
                if other == target and not is_whole(target):
                    raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return target


def is_whole(target):
    """Whether nothing has been removed from it."""
    count = 0
    folders = [target]
    try:
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name != "__pycache__":
                            folders.append(entry.path)
                    else:
                        count += 1
    except OSError:
        return False
    return count == FILES


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
