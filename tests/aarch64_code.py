"""Instructions of aarch64, made without the package's codec, from DDI 0487, C6.2; and how a program that
runs the C is compiled."""

from buildplug.arch.form import Form

NOP_ROOM = 0xD5032FFF
# name of the form -> code, bits of the distance, lowest bit in the word, how far the distance is shifted
BRANCHES = {
    "bl": (0x94000000, 26, 0, 2), "b": (0x14000000, 26, 0, 2), "b.cond": (0x54000000, 19, 5, 2),
    "cbz": (0x34000000, 19, 5, 2), "tbz": (0x36000000, 14, 5, 2),
}  # fmt: skip


def site(form: Form, address: int, target: int, spare: bytes) -> bytes | None:
    """A site that refers to a target; None if it cannot. Registers and the like come from `spare`."""
    name, own = form.name, int.from_bytes(spare[:4], "little")
    distance, pages = target - address, (target >> 12) - (address >> 12)
    if form.kind.data:
        return target.to_bytes(8, "little")
    if name.partition(" in ")[0] in BRANCHES:
        name, _, length = name.partition(" in ")
        code, bits, at, shift = BRANCHES[name]
        if distance % 4 or not -(1 << bits - 1) <= distance >> shift < 1 << bits - 1:
            return None
        own &= {"b.cond": 0xF, "cbz": 0x8100001F, "tbz": 0x8108001F & 0x8100001F | 0xF80000}.get(name, 0)
        words = [code | own | (distance >> shift & (1 << bits) - 1) << at]
        words += [NOP_ROOM] * (int(length or 4) // 4 - 1)
    elif name in ("adr", "adrp"):
        value = distance if name == "adr" else pages
        if not -(1 << 20) <= value < 1 << 20:
            return None
        words = [
            (0x10000000 if name == "adr" else 0x90000000) | own & 0x1F | (value & 3) << 29 | (value >> 2 & 0x7FFFF) << 5
        ]
    elif name == "add lo12":
        words = [0x91000000 | own & 0x3FF | (target & 0xFFF) << 10]
    else:
        if target % 8 or not -(1 << 20) <= pages < 1 << 20:
            return None
        words = [0x90000010 | (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5, 0xF9400210 | (target & 0xFFF) >> 3 << 10]
        words += [0xD63F0200 if name == "slot call" else 0xD61F0200]
    return b"".join(word.to_bytes(4, "little") for word in words)


FLAGS = ("--target=aarch64-linux-gnu", "-std=c11", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fno-pic", "-O2")

CALL = r"""
static long call(long number, long a, long b, long c, long d, long e, long f)
{
    register long n __asm__("x8") = number, r0 __asm__("x0") = a, r1 __asm__("x1") = b, r2 __asm__("x2") = c;
    register long r3 __asm__("x3") = d, r4 __asm__("x4") = e, r5 __asm__("x5") = f;

    __asm__ volatile("svc #0" : "+r"(r0) : "r"(n), "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(r5) : "memory");
    return r0;
}
"""
