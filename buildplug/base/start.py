"""How shells start this program so that it takes less time, for the scripts that we write."""

# glibc asks for huge pages for what it allocates, where the system has them for those who ask (malloc(3), "tunables";
# since 2.35): it takes less of the processor to be given few large ones. Linkers inherit it. What the user says comes
# later, and counts. See the rows "with huge pages" of the benchmarks.
HUGE_PAGES = 'GLIBC_TUNABLES="glibc.malloc.hugetlb=1${GLIBC_TUNABLES:+:$GLIBC_TUNABLES}"'
