# SPDX-License-Identifier: MIT
# nm -n -> a table of the functions: addresses, names; ends with 0.
BEGIN { print "\t.section .rodata, \"a\"\n\t.globl symtab\nsymtab:" }
$2 ~ /[tT]/ { printf "\t.quad 0x%s, 1f\n\t.pushsection .rodata.names\n1:\t.asciz \"%s\"\n\t.popsection\n", $1, $3 }
END { print "\t.quad 0, 0\n\t.section .note.GNU-stack, \"\", @progbits" }
