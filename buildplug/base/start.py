"""How shells start this program so that it takes less time, for the scripts that we write."""

# glibc asks for huge pages for what it allocates, where the system has them for those who ask (malloc(3), "tunables";
# since 2.35). To be given its memory by small pages takes a third of the processor's time that numpy takes here, and a
# sixth of what GNU ld takes, which inherits it. What the user says is kept.
HUGE_PAGES = 'GLIBC_TUNABLES="${GLIBC_TUNABLES:+$GLIBC_TUNABLES:}glibc.malloc.hugetlb=1"'
