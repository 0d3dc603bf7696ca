"""The kernel for measurements: the sample kernel plus as many functions, in assembly, as a full Linux has."""

import shutil
from pathlib import Path

SAMPLE = Path(__file__).resolve().parent.parent / "sample_kernel"
FILES, FUNCTIONS = 64, 1600  # as many functions as x86_64's defconfig of Linux has symbols
RELOCATIONS = 10 * FILES * FUNCTIONS
PARAVIRT_EVERY = 34  # one function in 34 refers to a pv op: 3000 references
REFERENCES = (
    "call pv_irq_enable", "call pv_io_delay", "call pv_read_cr3", "call *pv_cpu_ops + 8(%rip)",
    "call *pv_cpu_ops(%rip)", "movq $pv_flush_tlb, %rax", ".pushsection .data; .quad pv_set_pte_rcx; .popsection",
)  # fmt: skip
FUNCTION = """
	.text
	.globl {name}
	.type {name}, @function
{name}:
	call {near}
	call {far}
	call memcpy
	movl {name}_state(%rip), %eax
	movq $.L{name}_text, %rdi
	{reference}
	testl %eax, %eax
	je {far}
	jmp {near}
	.size {name}, . - {name}
	.section .rodata
.L{name}_text:
	.asciz "{name}: failed"
	.balign 4
	.long {name} - .
	.data
	.type {name}_state, @object
{name}_state:
	.quad {name}, {near}, {name}_state
	.size {name}_state, . - {name}_state
"""


def write(folder: Path, files: int = FILES) -> None:
    """Writes the kernel's sources into a new folder, with that many files of functions."""
    shutil.copytree(SAMPLE, folder, ignore=shutil.ignore_patterns("build", "__pycache__", "*.py"))
    for file in range(files):
        with (folder / f"driver{file}.S").open("w") as out:
            for number in range(FUNCTIONS):
                serial = file * FUNCTIONS + number
                reference = REFERENCES[serial // PARAVIRT_EVERY % len(REFERENCES)]
                out.write(FUNCTION.format(
                    name=f"driver{file}_function{number}",
                    near=f"driver{file}_function{(number + 7) % FUNCTIONS}",
                    far=f"driver{(file + 1) % files}_function{number}",
                    reference="nop" if serial % PARAVIRT_EVERY else reference,
                ))  # fmt: skip
            out.write('\t.section .note.GNU-stack, "", @progbits\n')
    change(folder, 0)


def change(folder: Path, number: int) -> None:
    """Edits a source, so that its object and the tables must be rebuilt; each number gives a different text."""
    calls = f"\t.text\n\t.rept {number + 1}\n\tcall pv_io_delay\n\t.endr\n\tret\n"
    (folder / "changed.S").write_text(calls + '\t.section .note.GNU-stack, "", @progbits\n')
