"""The program that looks at paths for the path probe: with the standard library alone, as text.

Of each path it prints a line of numbers, then the file system's type; the probe unpacks them.
"""

from __future__ import annotations

from typing import Final

# connect() of a datagram socket disturbs no server: one of another type does not notice it
# (EPROTOTYPE), a datagram server neither. ECONNREFUSED is a file that no socket is bound to.
PROGRAM: Final = """
import errno, fcntl, os, socket, stat, sys

def directory(fd):
    with open(f"/proc/self/fdinfo/{fd}") as lines:
        mount = next(line.split()[1] for line in lines if line.startswith("mnt_id:"))
    return [mount, os.fstat(fd).st_ino]

def folders(path):
    above = [os.path.dirname(path) or b"."]
    while os.path.dirname(above[0]) not in (above[0], b""):
        above.insert(0, os.path.dirname(above[0]))
    return above

def may(wish, folder, status, uid, groups):
    if uid:
        return os.access(folder, wish)
    # We, as root, may all. The root that was refused may lack the capability.
    shift = 6 if status.st_uid == 0 else 3 if status.st_gid in groups else 0
    return wish & ~(status.st_mode >> shift) == 0

def makes_no_sockets(folder, mounted):
    device = os.stat(folder).st_dev
    kind = mounted.get(f"{os.major(device)}:{os.minor(device)}")
    if kind in ("vfat", "msdos", "exfat", "iso9660", "squashfs", "proc", "sysfs"):
        return True
    fd, flags = os.open(folder, os.O_RDONLY | os.O_DIRECTORY), bytearray(8)
    fcntl.ioctl(fd, 0x80086601, flags)  # FS_IOC_GETFLAGS
    return bool(flags[0] & 0x10)  # FS_IMMUTABLE_FL

def fault(path, wanted, overrides, credentials, mounted):
    above, refuses = folders(path), False
    try:
        refuses = makes_no_sockets(above[-1], mounted)
    except OSError:
        pass
    uid, *groups = credentials
    os.setgroups(groups)
    os.setresgid(*groups[:1] * 3)
    os.setresuid(uid, uid, uid)
    for folder in above:
        length, is_last = len(folder), int(folder == above[-1])
        try:
            status = os.stat(folder)
        except OSError as error:
            return length, error.errno, 0, 0, 0, is_last
        about = status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), is_last
        if not stat.S_ISDIR(status.st_mode):
            return length, errno.ENOTDIR, *about
        if is_last and os.statvfs(folder).f_flag & os.ST_RDONLY:
            return length, errno.EROFS, *about
        wish = os.X_OK | (os.W_OK if is_last else 0)
        if wanted == errno.EACCES and not (overrides or may(wish, folder, status, uid, groups)):
            return length, wanted, *about
    return (length, errno.EPERM, *about) if refuses else [0] * 6

def status_here(path):
    try:
        return os.lstat(path)
    except (OSError, ValueError):
        return None

def file_systems(root):
    with open((os.path.dirname(root) if root != b"/" else b"/proc/self") + b"/mountinfo") as lines:
        words = [line.split() for line in lines]
    return {each[2]: each[each.index("-") + 1] for each in words}

texts = sys.stdin.buffer.read().split(b"\\0")
for root, base, path, here, credentials in zip(*(texts[at::5] for at in range(5))):
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        continue
    directories, faults, mounted, connected = [0] * 4, [0] * 6, {}, -1
    try:
        top, start = os.open(root, os.O_PATH), os.open(base, os.O_PATH)
        directories = directory(top) + directory(start)
        at_home = here and status_here(here)
        mounted = file_systems(root)
        os.fchdir(top)
        os.chroot(".")
        os.fchdir(start)
        if credentials:
            wanted, overrides, *ids = map(int, credentials.split())
            faults = fault(path, wanted, overrides, ids, mounted)
        status = os.lstat(path)
    except OSError as error:
        print(error.errno or errno.EIO, 0, 0, 0, -1, 0, *directories, *faults, "?", flush=True)
        os._exit(0)
    if stat.S_ISSOCK(status.st_mode):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            connected = sock.connect_ex(path)
        except OSError:
            pass  # a name that is too long for connect() as well
    is_here = int(bool(at_home) and os.path.samestat(at_home, status))
    numbers = status.st_mode, status.st_ino, status.st_dev, connected, is_here
    device = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    print(0, *numbers, *directories, *faults, mounted.get(device, "?"), flush=True)
    os._exit(0)
"""
