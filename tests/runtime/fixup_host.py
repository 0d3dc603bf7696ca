"""A program that runs the C of the fixup on layouts from its input; Linux runs it, so no library is needed. The
registers of system calls are the machine's."""

HOST = r"""
static int all(long number, long file, void *at, long size)
{
    long done = 0, some;

    for (; done < size; done += some)
        if ((some = call(number, file, (long)at + done, size - done, 0, 0, 0)) <= 0)
            return 0;
    return 1;
}

/* Reads layouts - table, the backends before and after, start, end, bytes - and writes what becomes of each. */
void start(void)
{
    static bp_uint64_t head[5];
    bp_uintptr_t place;

    for (place = LOW; place <= FAR; place += FAR - LOW)
        if (call(222, (long)place, SIZE, 3, 0x32, -1, 0) != (long)place)
            call(93, 3, 0, 0, 0, 0, 0);
    while (all(63, 0, head, sizeof(head)) && all(63, 0, (void *)LOW, SIZE) && all(63, 0, (void *)FAR, SIZE)) {
        struct bp_status status = bp_switch((void *)head[0], (void *)head[1], (void *)head[2], (void *)head[3],
                                            (void *)head[4], bp_write, 0);

        all(64, 1, &status, sizeof(status));
        all(64, 1, (void *)LOW, SIZE);
        all(64, 1, (void *)FAR, SIZE);
    }
    call(93, 0, 0, 0, 0, 0, 0);
}
"""
