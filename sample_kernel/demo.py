"""The demo: builds the sample kernel for each architecture with one relink, boots it under each backend, and prints
what the fixup changed. All output is read from the images, the build record and the running guest."""

import json
import re
import shutil
import sys
from pathlib import Path

from capstone import CS_GRP_CALL, CS_GRP_JUMP
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from buildplug.arch.decode import IMMEDIATE, MEMORY, instructions
from buildplug.arch.form import CALL, COND_JUMP, JUMP, SLOT_CALL, Form
from buildplug.base.errors import BuildplugError
from buildplug.config.project import Config, read, read_file
from buildplug.image.elf import Image
from buildplug.image.headers import SHT_NOBITS, STT_SECTION, Section
from buildplug.pipeline.doit_tasks import PASSES
from buildplug.pipeline.run import build
from buildplug.runtime.fixup import apply
from buildplug.runtime.memory import get
from buildplug.stage.proof import prove_table
from buildplug.tables.sites_format import Table
from sample_kernel import xen
from sample_kernel.boot import EXIT_OK, MACHINES, boot, memory

HERE = Path(__file__).resolve().parent
WAYS = {"xen": (xen.boot, xen.memory)}  # backend -> what boots it, and what reads its memory, if not QEMU alone
FORCED = b"\x0f\x0bxen"  # asks Xen to emulate the next instruction; the bytes are no instructions
SHOWN = {  # ops whose sites are shown; for other architectures all
    "i386": ("irq_disable",), "riscv64": ("irq_disable", "io_delay", "flush_tlb", "set_timer", "halt"),
    "aarch64": ("irq_disable", "io_delay", "flush_tlb", "set_timer", "halt", "psci"),
}  # fmt: skip
BRANCHES = {CALL: "call ", JUMP: "jump ", SLOT_CALL: "call *"}


def content_sections(image: Image) -> list[Section]:
    """The sections that are compared with the guest's memory."""
    return [s for s in image.sections if s.alloc and s.size and s.type != SHT_NOBITS]


def named(image: Image, address: int) -> str:
    """The symbol at or before an address of the image, and the distance from it."""
    at = address % image.arch.modulus
    rows = zip(image.symbols, image.names, strict=True)
    below = [
        (int(row["value"]), bool(row["type"]), name)  # a symbol without a type only marks a place
        for row, name in rows
        if row["type"] != STT_SECTION and row["value"] <= at
    ]
    start, _, name = max(below, key=lambda symbol: symbol[:2])
    return name if start == at else f"{name}+{at - start:#x}"


def _branch(image: Image, address: int, content: bytes) -> tuple[list[str], int]:
    """The call or jump that a site begins with, where its form says the target rather than capstone; and its bytes."""
    for form in image.arch.forms if image.arch.instruction else ():
        begun = int.from_bytes(content[: form.length], "little") & int.from_bytes(form.mask, "little")
        if form.length <= len(content) and form.kind in BRANCHES and begun == int.from_bytes(form.code, "little"):
            target = named(image, get(image.arch, form.field, content[form.at :], address + form.pc))
            return [f"{BRANCHES[form.kind]}{target}"], form.length
    return [], 0


def show(image: Image, address: int, form: Form) -> str:
    """The content of a site: its address or its instructions, with symbols instead of addresses."""
    section = image.section_at(address)
    assert section is not None
    content = image.bytes_of(section)[address - section.address :][: form.length].tobytes()
    if not form.kind.inline and form.kind is not COND_JUMP:
        return "&" + named(image, get(image.arch, form.field, content[form.at :], address + form.pc))
    texts, skipped = _branch(image, address, content)
    forced = content.startswith(FORCED)
    skipped += len(FORCED) * forced
    for instruction in instructions(image.arch, content[skipped:], address + skipped):
        if bytes(instruction.bytes) in image.arch.nops:
            texts.append("nop")
            continue
        text, goes = instruction.op_str, instruction.group(CS_GRP_CALL) or instruction.group(CS_GRP_JUMP)
        for operand in instruction.operands:
            if operand.type == IMMEDIATE and goes:
                text = named(image, operand.imm)
            if operand.type == MEMORY and goes:
                text = "*" + named(
                    image, operand.mem.disp + bool(operand.mem.base) * (instruction.address + instruction.size)
                )
            elif operand.type == MEMORY and not operand.mem.base and not operand.mem.segment:
                text = text.replace(f"{operand.mem.disp % image.arch.modulus:#x}", named(image, operand.mem.disp))
        texts.append(f"{instruction.mnemonic} {text}".strip())
    return "forced " * forced + "; ".join(texts)


def programs(config: Config) -> tuple[str, ...]:
    """What builds and boots the kernel."""
    return config.toolchain.cc, config.toolchain.ld, MACHINES[config.arch.machine].program


def compare(console: Console, config: Config) -> None:
    """Builds one kernel, boots it under each backend, compares memory, and shows how sites changed."""
    record = json.loads(build(config.path, None, None, arch=config.arch.name).read_text())
    image, wanted = Image(config.image), config.tables[0]
    table = prove_table(image, wanted.rule, wanted.ops).truth
    assert isinstance(table, Table)
    sites = table.rows(image.address_of(wanted.rule.symbol) or 0, image.arch.modulus)
    size = record["tables"][wanted.rule.name]["bytes"]
    passes = "draft, final" if record["links"] > 1 else "filled"
    said = f"links: {record['links']} ({passes}); table: {len(sites)} sites, {size} bytes, proved true"
    console.print(f"{image.arch.name}: {said}")
    reference = {}
    for backend in wanted.ops.backends if wanted.ops else ():
        run, read_back = WAYS.get(backend, (boot, memory))
        if backend == "xen" and (missing := xen.missing()):
            console.print(f"boot backend=xen: left out, as {missing}")
            continue
        status, said = run(config.image, f"backend={backend}")
        if status != EXIT_OK:
            raise BuildplugError(config.image, f"backend {backend}: QEMU ended with {status}", output=said)
        output = config.build / f"vmlinux.{backend}"
        apply(image, wanted.rule.symbol, f"{wanted.rule.symbol}_{backend}", output)
        reference[backend] = Image(output)
        sections = content_sections(reference[backend])
        _, found = read_back(config.image, f"backend={backend}", [(s.address, s.size) for s in sections])
        for section, content in zip(sections, found, strict=True):
            if content != reference[backend].bytes_of(section).tobytes():
                raise BuildplugError(config.image, f"backend {backend}: guest memory differs in {section.name}")
        console.print(f"boot backend={backend}: {said.splitlines()[-1]}")
        compared = f"{sum(s.size for s in sections)} bytes in {len(sections)} sections"
        console.print(f"  guest memory equals the reference: {compared}")
    grid = Grid("kind", "linked", *reference, box=None)
    seen = set[tuple[str, str]]()
    for address, number, op in sites:
        form = image.arch.forms[number]
        kind = form.name if form.padding else form.kind.name
        texts = [show(i, address, form) for i in (image, *reference.values())]
        shape = re.sub(r"[&\w]*_\w+", "", texts[1])  # one row for each kind of change under native
        if (kind, shape) not in seen and table.op_names[op] in SHOWN.get(image.arch.name, table.op_names):
            seen.add((kind, shape))
            grid.add_row(kind, *map(escape, texts))
    console.print(grid)


def main(console: Console) -> None:
    """Runs the demo. Raises BuildplugError if anything is not as expected."""
    console.print(f"passes: {' '.join(PASSES)}")
    for arch in read_file(HERE / "buildplug.toml").arch:
        config = read(HERE, arch=arch)
        if missing := [program for program in programs(config) if not shutil.which(program)]:
            console.print(f"{arch}: left out, as there is no {' and no '.join(missing)}")
        else:
            compare(console, config)


if __name__ == "__main__":
    try:
        main(Console(width=160 if not sys.stdout.isatty() else None))
    except BuildplugError as error:
        print(f"{error.output}demo: {error}", file=sys.stderr)
        sys.exit(1)
