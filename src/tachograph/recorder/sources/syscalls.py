"""Names of the system calls that a blocked thread is in, by their numbers on this machine."""

from __future__ import annotations

import platform

__all__ = ["syscall_name"]

_X86_64 = """
0 read 1 write 7 poll 8 lseek 17 pread64 18 pwrite64 19 readv 20 writev 23 select 35 nanosleep
42 connect 43 accept 44 sendto 45 recvfrom 46 sendmsg 47 recvmsg 61 wait4 72 fcntl 73 flock
74 fsync 75 fdatasync 202 futex 230 clock_nanosleep 232 epoll_wait 247 waitid 257 openat
270 pselect6 271 ppoll 281 epoll_pwait 285 fallocate 288 accept4 299 recvmmsg 307 sendmmsg
59 execve 56 clone 58 vfork 2 open 5 fstat 4 stat 6 lstat 262 newfstatat 332 statx 217 getdents64
82 rename 87 unlink 263 unlinkat 83 mkdir 76 truncate 77 ftruncate 9 mmap 11 munmap 318 getrandom
"""

_AARCH64 = """
29 ioctl 32 flock 34 mkdirat 35 unlinkat 45 truncate 46 ftruncate 47 fallocate 56 openat
61 getdents64 62 lseek 63 read 64 write 65 readv 66 writev 67 pread64 68 pwrite64 72 pselect6
73 ppoll 79 newfstatat 80 fstat 82 fsync 83 fdatasync 95 waitid 98 futex 101 nanosleep
115 clock_nanosleep 202 accept 203 connect 206 sendto 207 recvfrom 211 sendmsg 212 recvmsg
215 munmap 220 clone 221 execve 222 mmap 22 epoll_pwait 242 accept4 243 recvmmsg 260 wait4
269 sendmmsg 276 renameat2 278 getrandom 291 statx
"""

_TABLES = {"x86_64": _X86_64, "aarch64": _AARCH64}


def _names(machine: str) -> dict[int, str]:
    words = _TABLES.get(machine, "").split()
    return dict(zip(map(int, words[::2]), words[1::2], strict=True))


_known = _names(platform.machine())


def syscall_name(number: int) -> str:
    """Return the name of a system call, or `syscall 123` where it is not known."""
    return _known.get(number) or f"syscall {number}"
