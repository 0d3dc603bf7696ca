"""How shells start this program so that it takes less time, for the scripts that we write."""

# glibc asks for huge pages for what it allocates, where the system has them for those who ask (malloc(3), "tunables";
# since 2.35): to be given small ones is much of what numpy and GNU ld take of the processor. Linkers inherit it. What
# the user says comes later, and counts.
HUGE_PAGES = 'GLIBC_TUNABLES="glibc.malloc.hugetlb=1${GLIBC_TUNABLES:+:$GLIBC_TUNABLES}"'
