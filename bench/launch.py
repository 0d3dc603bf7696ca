"""Runs a program and prints its seconds, those of processors, the peak resident memory of its largest process (KiB)
and its exit status.

A process inherits the peak of its parent, so a small parent is needed: this one.
"""

import os
import sys
import time

null = os.open(os.devnull, os.O_RDWR)
started = time.perf_counter()
actions = [(os.POSIX_SPAWN_DUP2, null, number) for number in (0, 1)]
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=actions)
_, status, usage = os.wait4(pid, 0)
took = time.perf_counter() - started
print(took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, os.waitstatus_to_exitcode(status))
