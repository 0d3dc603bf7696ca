"""The sample kernel, built by buildplug and booted: the guest's memory is the oracle of the reference fixup."""

import json
import re
import shutil
import struct
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from buildplug.arch.form import KIND_NAMES, KINDS
from buildplug.config.ops import read
from buildplug.config.project import read as read_config
from buildplug.config.rule import find
from buildplug.image.elf import Image
from buildplug.image.headers import SHT_NOBITS
from buildplug.runtime.fixup import apply, fixup
from buildplug.runtime.memory import memory_of
from buildplug.runtime.relocate import relocate
from buildplug.stage.proof import prove_table
from buildplug.tables import relocs
from buildplug.tables.sites_format import Table
from sample_kernel.boot import EXIT_OK, boot, loaded_elsewhere, memory
from tests.conftest import tool
from tests.samples import SAMPLE, built, copy_sample, edit

KERNELS = {  # architecture, compiler, linker
    "gcc": ("x86_64", "gcc", "ld"),
    "clang": ("x86_64", "clang", "ld.lld"),
    "i386-gcc": ("i386", "gcc", "ld"),
    "i386-clang": ("i386", "clang", "ld.lld"),
    "riscv64-gcc": ("riscv64", "gcc", "riscv64-linux-gnu-ld"),
    "riscv64-clang": ("riscv64", "clang", "riscv64-linux-gnu-ld"),
    "aarch64-gcc": ("aarch64", "gcc", "aarch64-linux-gnu-ld"),
    "aarch64-clang": ("aarch64", "clang", "aarch64-linux-gnu-ld"),
    "riscv64-lld-19": ("riscv64", "gcc", "ld.lld-19"),
    "riscv64-lld": ("riscv64", "clang", "ld.lld"),
    "aarch64-lld-19": ("aarch64", "clang", "ld.lld-19"),
    "aarch64-lld": ("aarch64", "gcc", "ld.lld"),
}
SLOW = ("riscv64-lld", "aarch64-lld")


@dataclass(frozen=True)
class Facts:
    """What the tests know of an architecture's kernel. Patterns are of lines of objdump, or of its operands."""

    ops: str  # file
    hook: str  # what functions first call
    branch: int  # bytes of the branches of static calls
    copy: str  # the instruction that may fault in a copy
    fault: str  # of a write to no page
    without: frozenset[str]  # kinds of sites that it has not
    pushes: str  # saves in the call of a C function with every register live, and the way back
    pops: str
    tools: str = ""  # prefix of binutils
    branches: str = "(call|jmp)"  # the instructions of calls and jumps that have the target
    before: int = 0  # bytes of the site before these
    backends: tuple[str, ...] = ("native", "shim")


X86 = Facts("paravirt.toml", "__fentry__", 5, "rep movsb", "exception 14", frozenset(), r"\tpush", r"\tpop")
FACTS = {
    "x86_64": X86, "i386": X86,
    "riscv64": Facts(
        "riscv64/paravirt.toml", "_mcount", 8, "[ls]b", "exception 15", frozenset({"slot-jump", "cond-jump"}),
        r"\tsd\t", r"\tld\t", "riscv64-linux-gnu-", "(jalr|jr)", 4, ("native", "shim", "sbi"),
    ),
    "aarch64": Facts(
        "aarch64/paravirt.toml", "_mcount", 4, "(ldrb|strb)", "exception 37", frozenset({"slot-jump"}),
        r"\t(str\t.*!|stp)", r"\tldr\t.*, #16", "aarch64-linux-gnu-", "(bl|b)", 0, ("native", "shim", "smc"),
    ),
}  # fmt: skip
WORDS = {4: "I", 8: "Q"}  # bytes of an address -> struct's letter


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in KERNELS]
)
def kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_sample(tmp_path_factory.mktemp(request.param) / "kernel")
    arch, cc, ld = KERNELS[request.param]
    usual = read_config(folder, arch=arch).toolchain.ld
    edit(folder / "buildplug.toml", ('cc = "gcc"', f'cc = "{cc}"'), (f'ld = "{usual}"', f'ld = "{ld}"'))
    assert built(folder, "--arch", arch, "--build-dir", folder / "build")["links"] == 2
    return folder / "build" / "vmlinux"


def facts(kernel: Path) -> Facts:
    """Those of a built kernel's architecture."""
    return FACTS[Image(kernel).arch.name]


def test_kernel_passes_its_own_checks_under_each_backend(kernel: Path) -> None:
    for backend in facts(kernel).backends:
        status, said = boot(kernel, f"backend={backend}")
        assert (status, said.splitlines()[-1].endswith(" 0 failed")) == (EXIT_OK, True), said
        assert f"backend {backend}, fixup done" in said


def test_kernel_boots_from_a_folder_with_a_long_name(kernel: Path, tmp_path: Path) -> None:
    """By multiboot the command line begins with the path."""
    folder = tmp_path / ("a" * 250) / ("b" * 250)
    folder.mkdir(parents=True)
    shutil.copy(kernel, folder)
    status, said = boot(folder / kernel.name, "backend=shim")
    assert status == EXIT_OK, said
    assert "backend shim, fixup done" in said


def test_guest_memory_equals_the_reference(kernel: Path, tmp_path: Path) -> None:
    for backend in facts(kernel).backends:
        apply(Image(kernel), "bp_paravirt", f"bp_paravirt_{backend}", tmp_path / "reference")
        reference = Image(tmp_path / "reference")
        sections = [s for s in reference.sections if s.alloc and s.size and s.type != SHT_NOBITS]
        _, contents = memory(kernel, f"backend={backend}", [(s.address, s.size) for s in sections])
        different = [s.name for s, c in zip(sections, contents, strict=True) if c != reference.bytes_of(s).tobytes()]
        assert not different, backend
        assert {".text", ".rodata", ".data"} <= {s.name for s in sections}


@pytest.mark.parametrize("slide", [4096, 2 << 20, 21 * (1 << 20) + 12288])
@pytest.mark.parametrize("backend", ["native", "shim"])
def test_kernel_loaded_elsewhere_is_as_the_references_say(
    kernel: Path, backend: str, slide: int, tmp_path: Path
) -> None:
    image = Image(kernel)
    loaded_elsewhere(kernel, slide, tmp_path / "vmlinux")
    relocated, start, end = memory_of(image, slide)
    at = {
        name: (image.address_of(name) or 0) + slide for name in ("bp_relocs", "bp_paravirt", f"bp_paravirt_{backend}")
    }
    linked = relocated.regions
    assert relocate(image.arch, relocated, at["bp_relocs"], start, end, slide) == ("ok", 0)
    assert fixup(image.arch, relocated, at["bp_paravirt"], at[f"bp_paravirt_{backend}"], start, end) == ("ok", 0)
    status, said = boot(tmp_path / "vmlinux", f"backend={backend}")
    assert (status, said.splitlines()[-1].endswith(" 0 failed")) == (EXIT_OK, True), said
    regions = [(address, len(content)) for address, content in linked]
    _, contents = memory(tmp_path / "vmlinux", f"backend={backend}", regions)
    assert contents == [bytes(content) for _, content in relocated.regions]


@pytest.mark.parametrize("how", ["crash", "crash=trap"])
def test_kernel_loaded_elsewhere_says_who_called_whom(kernel: Path, how: str, tmp_path: Path) -> None:
    loaded_elsewhere(kernel, 2 << 20, tmp_path / "vmlinux")
    _, said = boot(tmp_path / "vmlinux", how)
    trace = said.partition("backtrace:\n")[2].splitlines()
    assert [line.split("+")[0].strip() for line in trace] == ["crash_here", "crash", "kernel_main", "high_half"]


def test_kernel_loaded_elsewhere_with_a_spoilt_list_ends_before_it_is_relocated(kernel: Path, tmp_path: Path) -> None:
    section = Image(kernel).section(".bp_relocs")
    data = bytearray(kernel.read_bytes())
    data[section.offset + section.size // 2] ^= 1
    (tmp_path / "spoilt").write_bytes(data)
    loaded_elsewhere(tmp_path / "spoilt", 1 << 20, tmp_path / "vmlinux")
    status, said = boot(tmp_path / "vmlinux", "backend=native")
    not_relocated = 0x20  # boot.S
    assert status == (not_relocated + list(relocs.ERRORS).index("bad_checksum")) << 1 | 1
    assert "machine:" not in said


def test_fault_that_no_table_lists_is_the_end(kernel: Path) -> None:
    status, said = boot(kernel, "crash=trap")
    assert status != EXIT_OK
    assert facts(kernel).fault in said
    assert "panic: unexpected exception" in said


def test_one_relink_makes_every_table(kernel: Path) -> None:
    record = json.loads(kernel.with_name("vmlinux.buildplug.json").read_text())
    config = tomllib.loads((kernel.parent.parent / "buildplug.toml").read_text())
    wanted = config["table"] + config["arch"][Image(kernel).arch.name]["table"]
    assert record["links"] == 2
    assert set(record["tables"]) == {table["rule"] for table in wanted}
    assert len(record["tables"]) >= 6
    for name, table in record["tables"].items():
        assert table["rows"] > 0, name


@pytest.mark.parametrize("table", ["calls", "retpolines", "static_calls"])
def test_sites_are_those_that_objdump_shows(kernel: Path, table: str) -> None:
    known = facts(kernel)
    target = {"calls": known.hook, "retpolines": r"__x86_indirect_thunk_\w+", "static_calls": r"__SCT__\w+"}[table]
    lines = tool(f"{known.tools}objdump", "-d", kernel).splitlines()
    shown = re.compile(rf"\b{known.branches}\s.*\s<{target}>$")
    expected = [int(line.split(":")[0], 16) - known.before for line in lines if shown.search(line)]
    if table == "retpolines" and not expected:
        assert ".bp_retpolines" not in {section.name for section in Image(kernel).sections}
        return
    data, at, places = rows_of_table(kernel, table)
    assert [at + place + struct.unpack_from("<i", data, place)[0] for place in places] == expected


def test_static_calls_say_trampoline_length_and_kind(kernel: Path) -> None:
    data, at, places = rows_of_table(kernel, "static_calls")
    named = {address: name for name, address in symbols(kernel).items() if name.startswith("__SCT__")}
    rows = [struct.unpack_from("<iiHH", data, place) for place in places]
    targets = [named[at + place + 4 + row[1]] for place, row in zip(places, rows, strict=True)]
    assert {(name, length, KIND_NAMES[kind]) for name, (_, _, length, kind) in zip(targets, rows, strict=True)} == {
        ("__SCT__times", facts(kernel).branch, "call"),
        ("__SCT__times", facts(kernel).branch, "jump"),
    }


def test_table_of_faults_has_the_records_in_order(kernel: Path) -> None:
    records, _ = content(kernel, ".bp_records.extable")
    data, at, places = rows_of_table(kernel, "extable")
    rows = [struct.unpack_from("<ii", data, place) for place in places]
    found = [(at + place + insn, at + place + 4 + fixup) for place, (insn, fixup) in zip(places, rows, strict=True)]
    assert found == sorted(struct.iter_unpack(f"<2{WORDS[Image(kernel).arch.word]}", records))
    listed = tool(f"{facts(kernel).tools}objdump", "-d", kernel)
    copies = [int(m[1], 16) for m in re.finditer(rf"^(\w+):.*\b{facts(kernel).copy}", listed, re.M)]
    checks, other = symbols(kernel)["check_extable"], symbols(kernel)["extable_recover"]
    inside = range(checks, other)
    assert {insn for insn, _ in found} >= {at for at in copies if at in inside}


def test_table_of_exports_is_what_the_source_exports(kernel: Path) -> None:
    source = (kernel.parent.parent / "exports.c").read_text()
    expected = sorted(re.findall(r'^BP_EXPORT\((\w+), "(\w*)"\);', source, re.M))
    data, at, places = rows_of_table(kernel, "exports")
    found = []
    for place in places:
        name, address, namespace = struct.unpack_from("<iii", data, place)
        texts = [data[start : data.index(0, start)].decode() for start in (place + name, place + 8 + namespace)]
        assert at + place + 4 + address == symbols(kernel)[texts[0]]
        found.append(tuple(texts))
    assert found == expected
    assert len(found) > 2


def rows_of_table(kernel: Path, name: str) -> tuple[bytes, int, range]:
    """The bytes of a table with a head, its address, and the offsets of its rows."""
    data, at = content(kernel, f".bp_{name}")
    count, size = struct.unpack_from("<II", data)
    return data, at, range(8, 8 + count * size, size)


def content(kernel: Path, name: str) -> tuple[bytes, int]:
    """Content and address of a section, by pyelftools."""
    with kernel.open("rb") as file:
        ((data, at),) = [(s.data(), s["sh_addr"]) for s in ELFFile(file).iter_sections() if s.name == name]
    return data, at


def symbols(kernel: Path) -> dict[str, int]:
    """Name -> address, by nm."""
    return {line.split()[-1]: int(line.split()[0], 16) for line in tool("nm", kernel).splitlines()}


def test_without_fixup_everything_runs_through_the_defaults(kernel: Path) -> None:
    status, said = boot(kernel, "backend=shim fixup=off")
    assert status == EXIT_OK, said
    assert "backend default, fixup off" in said


def test_draft_kernel_boots_too(kernel: Path) -> None:
    status, said = boot(kernel.with_suffix(".draft"), "backend=native")
    assert status == EXIT_OK, said


def test_draft_kernel_notices_that_the_shim_did_not_run(kernel: Path) -> None:
    status, said = boot(kernel.with_suffix(".draft"), "backend=shim")
    assert status != EXIT_OK
    assert "FAILED" in said


def test_kernel_with_a_spoilt_table_refuses_it(kernel: Path, tmp_path: Path) -> None:
    image = Image(kernel)
    section = image.section(".bp_paravirt")
    data = bytearray(kernel.read_bytes())
    data[section.offset + section.size // 2] ^= 1
    (tmp_path / "vmlinux").write_bytes(data)
    status, said = boot(tmp_path / "vmlinux", "backend=native")
    assert status != EXIT_OK
    assert "fixup failed: error checksum is wrong" in said


def test_kernel_has_a_site_of_every_kind(kernel: Path) -> None:
    image = Image(kernel)
    table = prove_table(image, find("paravirt", Path()), None).truth
    assert isinstance(table, Table)
    forms = image.arch.forms
    found = {forms[form].kind for _, form, _ in table.rows(0, image.arch.modulus)}
    assert found == {kind for kind in KINDS if kind.name not in facts(kernel).without}


def test_bare_hardware_loses_nothing(kernel: Path, tmp_path: Path) -> None:
    """On native every site holds the op's own instructions and nops; or goes where they stand, if they do not fit."""
    apply(Image(kernel), "bp_paravirt", "bp_paravirt_native", tmp_path / "native")
    before, after = Image(kernel), Image(tmp_path / "native")
    ops = read(SAMPLE / facts(kernel).ops, before.arch)
    at = before.address_of("bp_paravirt")
    assert at is not None
    inline = 0
    table = prove_table(before, find("paravirt", Path()), ops).truth
    assert isinstance(table, Table)
    for address, number, op in table.rows(at, before.arch.modulus):
        form, name = before.arch.forms[number], list(ops.ops)[op]
        way = ops.backends["native"][name]
        if not form.kind.inline or way.function:
            continue
        code = _code(before, f"bp_paravirt_native__{name}")
        section = after.section_at(address)
        assert section is not None
        found = after.bytes_of(section)[address - section.address :][: form.length].tobytes()
        if len(code) <= form.length - form.kind.returns * len(before.arch.ret):
            assert found.startswith(code), (hex(address), name)
            inline += 1
    assert inline > 50


def test_code_too_long_for_a_call_is_inline_where_a_macro_made_room(kernel: Path, tmp_path: Path) -> None:
    """As objdump shows the kernel of x86 under the shim: its cli is a store, or a call of that."""
    if facts(kernel) is not X86:
        return  # the shim of others has functions
    apply(Image(kernel), "bp_paravirt", "bp_paravirt_shim", tmp_path / "shim")
    flag = f"{symbols(kernel)['shim_if']:x}"
    linked, shim = (
        dict(re.findall(r"^ *(\w+):\t(.*\S)", tool("objdump", "-d", "--no-show-raw-insn", image), re.M))
        for image in (kernel, tmp_path / "shim")
    )
    found = [shim[at] for at, text in linked.items() if text.startswith("call") and text.endswith("<pv_irq_disable>")]
    called = [text for text in found if text.endswith("<bp_paravirt_shim__irq_disable>")]
    stored = [text for text in found if re.fullmatch(rf"movl +\$0x0,0x{flag}( <shim_if>)?", text)]
    assert called
    assert stored
    assert len(called) + len(stored) == len(found)


def test_record_says_what_calling_c_with_every_register_live_costs(kernel: Path) -> None:
    record = json.loads(kernel.with_name("vmlinux.buildplug.json").read_text())
    cost = record["tables"]["paravirt"]["targets"]["shim"]["io_delay"]
    start, end = cost["address"], cost["address"] + cost["bytes"]
    code = tool(f"{facts(kernel).tools}objdump", "-d", f"--start-address={start}", f"--stop-address={end}", kernel)
    known = facts(kernel)
    assert cost["saves"] == len(re.findall(known.pushes, code)) == len(re.findall(known.pops, code)) > 0
    assert "<shim_io_delay>" in code


def _code(image: Image, symbol: str) -> bytes:
    """The inline code that stands at a symbol, without the return behind it."""
    row = image.symbols[image.names.index(symbol)]
    section = image.sections[row["section"]]
    start = int(row["value"]) - section.address
    return image.bytes_of(section)[start : start + int(row["size"]) - len(image.arch.ret)].tobytes()
