"""A program of i386 that runs the C: there is no C library for it here, and none is needed."""

FLAGS = ("-m32", "-std=c11", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fno-pic", "-O2")


HOST = r"""
#include "buildplug.h"

static int call(int number, int a, int b, int c)
{
    __asm__ volatile("int $0x80" : "+a"(number) : "b"(a), "c"(b), "d"(c) : "memory");
    return number;
}

static int whole(int number, int file, void *at, uint32_t size)
{
    uint32_t done = 0;

    while (done < size) {
        int some = call(number, file, (int)at + (int)done, (int)(size - done));

        if (some <= 0)
            return 0;
        done += (uint32_t)some;
    }
    return 1;
}

/* Reads layouts - table, backend, start, end, bytes - and writes what becomes of each. */
void start(void)
{
    uint32_t map[6] = { LOW, SIZE, 3, 0x32, (uint32_t)-1, 0 }, head[4];

    if (call(90, (int)map, 0, 0) != LOW)
        call(1, 3, 0, 0);
    while (whole(3, 0, head, sizeof(head)) && whole(3, 0, (void *)LOW, SIZE)) {
        struct bp_status status =
            bp_fixup((void *)head[0], (void *)head[1], (void *)head[2], (void *)head[3], bp_write, 0);

        whole(4, 1, &status, sizeof(status));
        whole(4, 1, (void *)LOW, SIZE);
    }
    call(1, 0, 0, 0);
}
"""
