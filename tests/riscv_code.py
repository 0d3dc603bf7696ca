"""Instructions of riscv64, made without the package's codec, from the ISA Manual, vol. I, 2.2, 2.3 and 16; and how a
program that runs the C is compiled."""

from buildplug.arch.form import Form

ROOM = 0x05B02013
# name of the form -> opcodes of auipc and of what follows
PAIRS = {
    "call": (0x97, 0x80E7), "call t0": (0x297, 0x282E7), "call t0 by t1": (0x317, 0x302E7),
    "tail t1": (0x317, 0x30067), "tail t2": (0x397, 0x38067), "slot call": (0x97, 0xB083),
    "auipc addi": (0x17, 0x13), "lui addi": (0x37, 0x13),
}  # fmt: skip
JUMPS = {"jal": 0xEF, "jal t0": 0x2EF, "j": 0x6F}


def _bits(value: int, places: str, at: int) -> int:
    """The bits of a value as the manual lists them, from the highest down to bit `at` of the instruction: "12 10:5"."""
    word = 0
    for each in places.split():
        high, _, low = each.partition(":")
        for bit in range(int(high), int(low or high) - 1, -1):
            word = word << 1 | value >> bit & 1
    return word << at


def site(form: Form, address: int, target: int, spare: bytes) -> bytes | None:
    """A site that refers to a target; None if it cannot. Registers and the like come from `spare`."""
    own, distance = int.from_bytes(spare[:4], "little"), target - address
    name, _, length = form.name.partition(" in ")
    if form.kind.data:
        return target.to_bytes(8, "little")
    if name in PAIRS:
        value = target if name == "lui addi" else distance
        if not -(1 << 31) - 0x800 <= value < (1 << 31) - 0x800:
            return None
        high, low = (value + 0x800) >> 12, value & 0xFFF
        first, second = PAIRS[name]
        if name.endswith("addi"):
            first, second = first | own & 0xF80, second | own & 0xF80 | (own & 0xF80) << 8
        words = [first | (high & 0xFFFFF) << 12, second | low << 20]
        words += [0x80E7] if name == "slot call" else [ROOM] * (int(length or 8) // 4 - 2)
        return b"".join(word.to_bytes(4, "little") for word in words)
    reach = {"c.j": 11, "c.beqz": 8, "branch": 12}.get(name, 20)
    if distance % 2 or not -(1 << reach) <= distance < 1 << reach:
        return None
    if name in JUMPS:
        word = JUMPS[name] | _bits(distance, "20 10:1 11 19:12", 12)
    elif name == "branch":
        word = 0x63 | own & 0x1FFF000 | _bits(distance, "12 10:5", 25) | _bits(distance, "4:1 11", 7)
    elif name == "c.j":
        word = 0xA001 | _bits(distance, "11 4 9:8 10 6 7 3:1 5", 2)
    else:
        word = 0xC001 | own & 0x2380 | _bits(distance, "8 4:3", 10) | _bits(distance, "7:6 2:1 5", 2)
    return word.to_bytes(form.length, "little")


FLAGS = (
    "--target=riscv64-linux-gnu", "-mcmodel=medany", "-mno-relax", "-std=c11", "-Wall", "-Wextra", "-Werror",
    "-ffreestanding", "-fno-pic", "-O2",
)  # fmt: skip
CALL = r"""
static long call(long number, long a, long b, long c, long d, long e, long f)
{
    register long n __asm__("a7") = number, r0 __asm__("a0") = a, r1 __asm__("a1") = b, r2 __asm__("a2") = c;
    register long r3 __asm__("a3") = d, r4 __asm__("a4") = e, r5 __asm__("a5") = f;

    __asm__ volatile("ecall" : "+r"(r0) : "r"(n), "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(r5) : "memory");
    return r0;
}
"""
