"""Integers by their numpy types, u1 to i8, as C, Rust and the assembler call them."""

CTYPE = {f"{sign}{size}": f"{'u' * (sign == 'u')}int{8 * size}_t" for sign in "ui" for size in (1, 2, 4, 8)}
RUST_TYPE = {f"{sign}{size}": f"{sign}{8 * size}" for sign in "ui" for size in (1, 2, 4, 8)}
DIRECTIVE = {"1": ".byte", "2": ".short", "4": ".long", "8": ".quad"}  # by size in bytes
