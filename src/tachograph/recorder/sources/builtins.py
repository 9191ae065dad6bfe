"""The builtins that are known to block, as a table, and where a call tells what it is about."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

__all__ = ["Builtin", "known"]

_HOW = {"": 0, "first": 1, "second": 2, "pair": 3, "name": 4, "peer": 5}
_OF_LOCK, _OF_SOCKET = 8, 16

# Module or class, what its calls are called, and each one with the place of its detail. A detail is
# a path, a file's number, a host and a port: nothing that is read, written or asked for.
_TABLE = """
time                     time.        sleep
_socket                  socket.      getaddrinfo:pair gethostbyname:first gethostbyname_ex:first
    gethostbyaddr:first getnameinfo:first
_socket.socket           socket.      connect:first connect_ex:first _accept recv:peer
    recv_into:peer recvfrom recvfrom_into recvmsg:peer recvmsg_into:peer send:peer sendall:peer
    sendto sendmsg:peer close
_ssl._SSLSocket          ssl.         do_handshake read write shutdown
_ssl._SSLContext         ssl.         load_verify_locations:first load_cert_chain:first
    set_default_verify_paths
_thread.lock             lock.        acquire __enter__ acquire_lock
_thread.RLock            RLock.       acquire __enter__
_thread._ThreadHandle    thread.      join
_queue.SimpleQueue       SimpleQueue. get
_multiprocessing.SemLock SemLock.     acquire __enter__
select                   select.      select
select.poll              select.      poll
select.epoll             epoll.       poll
_io                      io.          open:first open_code:first
_io.FileIO               file.        read:name readinto:name readall:name write:name truncate:name
    close:name
posix                    os.          open:first close:first read:first write:first readv:first
    writev:first pread:first pwrite:first preadv:first pwritev:first sendfile copy_file_range
    splice fsync:first fdatasync:first sync truncate:first ftruncate:first posix_fallocate:first
    lockf:first stat:first lstat:first fstat:first statvfs:first fstatvfs:first access:first
    listdir:first scandir:first readlink:first mkdir:first rmdir:first rename:first replace:first
    unlink:first remove:first link:first symlink:first chmod:first chown:first utime:first
    mkfifo:first wait wait3 wait4 waitpid waitid system posix_spawn:first posix_spawnp:first fork
    forkpty getrandom getxattr:first setxattr:first listxattr:first
fcntl                    fcntl.       flock:first lockf:first
_posixsubprocess         subprocess.  fork_exec:second
_signal                  signal.      pause sigwait sigwaitinfo sigtimedwait
pwd                      pwd.         getpwnam getpwuid getpwall
grp                      grp.         getgrnam getgrgid getgrall
_sqlite3                 sqlite3.     connect:first
_sqlite3.Connection      sqlite3.     execute executemany executescript commit rollback backup close
    __exit__
_sqlite3.Cursor          sqlite3.     execute executemany executescript fetchone fetchmany fetchall
"""


class Builtin(NamedTuple):
    """A builtin: where it is, what its calls are called, and what the core is told of it."""

    owner: str
    attribute: str
    name: str
    how: int

    @property
    def module(self) -> str:
        """The module that has it."""
        return self.owner.partition(".")[0]

    def find(self) -> tuple[Any, Any]:
        """Return it and its class or None; its module is loaded.

        Raises:
            AttributeError: This Python has none.
        """
        module, _, kind = self.owner.partition(".")
        owner = sys.modules[module]
        if kind:
            owner = _class(owner, kind)
        return getattr(owner, self.attribute), owner if kind else None


def _class(module: Any, kind: str) -> Any:
    if (module.__name__, kind) == ("_thread", "lock"):
        return module.LockType
    found = getattr(module, kind)
    # `select.poll` is a function whose results have the class.
    return found if isinstance(found, type) else type(found())


def known() -> Iterator[Builtin]:
    """Yield every builtin of the table."""
    # A row goes on in lines that begin with blanks.
    for row in re.sub(r"\n +", " ", _TABLE).strip().splitlines():
        owner, prefix, *calls = row.split()
        of = _OF_LOCK if owner == "_thread.lock" else 0
        of |= _OF_SOCKET if owner == "_socket.socket" else 0
        for call in calls:
            attribute, _, detail = call.partition(":")
            name = attribute.removeprefix("_") if attribute == "_accept" else attribute
            yield Builtin(owner, attribute, prefix + name, _HOW[detail] | of)
