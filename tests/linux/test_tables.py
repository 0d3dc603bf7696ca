"""Extraction from a real Linux, against the lists that Linux keeps of its own sites and against readelf.

What is compared with is read by pyelftools and readelf, not by our reader.
"""

import json
import random
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from buildplug.base.process import run
from tests.conftest import tool
from tests.linux_image import Linux
from tests.samples import buildplug

pytestmark = pytest.mark.linux

# readelf's relocations of allocated sections against a symbol: (section, r_type's name, addend) by address
Relocations = dict[int, tuple[str, str, int]]


@pytest.fixture(scope="module")
def sections(vmlinux: Path) -> dict[str, tuple[int, int, bytes]]:
    """Address, flags and content of the sections, by name."""
    with vmlinux.open("rb") as file:
        return {s.name: (s["sh_addr"], s["sh_flags"], s.data()) for s in ELFFile(file).iter_sections()}


@pytest.fixture(scope="module")
def symbols(vmlinux: Path) -> dict[str, tuple[int, int]]:
    """Address and size of the symbols, by name."""
    with vmlinux.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        return {s.name: (s["st_value"], s["st_size"]) for s in table.iter_symbols() if s["st_shndx"] != "SHN_UNDEF"}


@pytest.fixture(scope="module")
def paravirt(vmlinux: Path) -> dict[str, Any]:
    return extract(vmlinux, "linux-paravirt")


def extract(image: Path, rule: str | Path) -> dict[str, Any]:
    done = buildplug("extract", image, "--rule", rule, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def relocations(image: Path, symbol: str, sections: dict[str, tuple[int, int, bytes]]) -> Relocations:
    """What readelf says of the relocations against `symbol`."""
    found: Relocations = {}
    section = ""
    for line in run(["readelf", "-rW", image], Path.cwd(), "list relocations").output.splitlines():
        if line.startswith("Relocation section"):
            section = line.split("'")[1].removeprefix(".rela")
        # offset, info, type, the symbol's value, its name, sign, addend in hexadecimal
        elif len(words := line.split()) == 7 and words[4] == symbol and sections[section][1] & 2:  # SHF_ALLOC
            found[int(words[0], 16)] = (section, words[2], int(words[5] + words[6], 16))
    return found


def test_every_site_that_linux_annotates_is_found(
    paravirt: dict[str, Any], sections: dict[str, tuple[int, int, bytes]]
) -> None:
    # struct paravirt_patch_site: u8 *instr; u8 type; u8 len; padded to 16 bytes
    linux = {
        (address, length, op) for address, op, length in struct.iter_unpack("<QBB6x", sections[".parainstructions"][2])
    }
    ours = {(e["address"], e["length"], (e["addend"] + 4) // 8): e["kind"] for e in paravirt["entries"]}
    assert len(linux) > 1000
    assert not linux - ours.keys()
    # Linux lists calls only, and of those not the ones that its macros do not wrap.
    assert {ours[site] for site in linux} == {"slot-call"}
    more = Counter(ours[site] for site in ours.keys() - linux)
    assert set(more) <= {"slot-call", "slot-jump"}
    assert more.total() < 20


def test_every_relocation_against_pv_ops_is_accounted_for(
    paravirt: dict[str, Any], vmlinux: Path, sections: dict[str, tuple[int, int, bytes]]
) -> None:
    listed = {place: row for place, row in relocations(vmlinux, "pv_ops", sections).items() if row[0] != ".eh_frame"}
    left = paravirt["ignored"]
    assert len(paravirt["entries"]) + sum(left.values()) == len(listed)
    assert set(left) <= {"indexed", "relative-pointer", "slot-address", "slot-compare", "slot-load", "slot-store"}
    for entry in paravirt["entries"]:
        section, kind, addend = listed[entry["address"] + 2]  # behind ff 15 or ff 25
        assert (section, addend) == (entry["section"], entry["addend"])
        assert kind == "R_X86_64_PC32"


def test_calls_of_a_function_equal_mcount_loc(
    vmlinux: Path, sections: dict[str, tuple[int, int, bytes]], symbols: dict[str, tuple[int, int]], tmp_path: Path
) -> None:
    rule = tmp_path / "fentry.toml"
    rule.write_text("""
        name = "fentry"
        about = "calls of the function tracer"
        [select]
        functions = ["__fentry__"]
        kinds = ["call"]
        leave = ["address", "relative-pointer"]
        skip = [".return_sites"]  # __fentry__ starts with its return
    """)
    start, stop = (symbols[f"__{end}_mcount_loc"][0] for end in ("start", "stop"))
    address, _, content = sections[".init.data"]
    linux = struct.unpack(f"<{(stop - start) // 8}Q", content[start - address : stop - address])
    found = extract(vmlinux, rule)
    assert len(linux) > 10000
    assert [entry["address"] for entry in found["entries"]] == sorted(linux)
    listed = relocations(vmlinux, "__fentry__", sections)
    assert {e["address"] + 1 for e in found["entries"]} == {
        p for p, row in listed.items() if row[1] == "R_X86_64_PLT32"
    }
    assert len(found["entries"]) + sum(found["ignored"].values()) == len(listed)


EXTABLE = """
    name = "linux-extable"
    about = "what Linux annotates as an instruction that may fault, as its sorttable leaves it"
    [select]
    rows = "records"
    sections = ["__ex_table"]
    members = [
        { name = "insn", type = "i4", holds = "address" },
        { name = "fixup", type = "i4", holds = "address" },
        { name = "data", type = "u4" },
    ]
    [table]
    fields = [
        { name = "insn", type = "i4", value = "insn" },
        { name = "fixup", type = "i4", value = "fixup" },
        { name = "data", type = "u4", value = "data" },
    ]
"""


def test_records_in_any_order_make_the_exception_table_that_linux_sorts(
    vmlinux: Path, sections: dict[str, tuple[int, int, bytes]], tmp_path: Path
) -> None:
    (tmp_path / "rule.toml").write_text(EXTABLE)
    address, _, content = sections["__ex_table"]
    linux = [
        (address + 12 * i + insn, address + 12 * i + 4 + fixup, data)
        for i, (insn, fixup, data) in enumerate(struct.iter_unpack("<iiI", content))
    ]
    assert len(linux) > 200
    mixed = linux.copy()
    random.Random(0).shuffle(mixed)
    unsorted = [(r[0] - address - 12 * i, r[1] - address - 12 * i - 4, r[2]) for i, r in enumerate(mixed)]
    image = bytearray(vmlinux.read_bytes())
    start = image.index(content)
    image[start : start + len(content)] = b"".join(struct.pack("<iiI", *row) for row in unsorted)
    (tmp_path / "unsorted").write_bytes(image)
    for path in (vmlinux, tmp_path / "unsorted"):
        assert [tuple(row.values()) for row in extract(path, tmp_path / "rule.toml")["rows"]] == linux


KSYMTAB = """
    name = "linux-ksymtab"
    about = "what Linux exports"
    [select]
    rows = "records"
    sections = ["__ksymtab", "__ksymtab_gpl"]
    members = [
        { name = "export", type = "i4", holds = "address" },
        { name = "name", type = "i4", holds = "string" },
        { name = "namespace", type = "i4", holds = "string" },
    ]
    [table]
    sort = ["name"]
    fields = [
        { name = "name", type = "string", value = "export.symbol" },
        { name = "address", type = "i4", value = "export" },
        { name = "namespace", type = "string", value = "namespace" },
    ]
"""


def test_exports_equal_module_symvers(vmlinux: Path, symbols: dict[str, tuple[int, int]], tmp_path: Path) -> None:
    (tmp_path / "rule.toml").write_text(KSYMTAB)
    rows = extract(vmlinux, tmp_path / "rule.toml")["rows"]
    # CRC, name, module, kind of export, namespace
    listed = [line.split("\t") for line in vmlinux.with_name("vmlinux.symvers").read_text().splitlines()]
    assert len(listed) > 5000
    assert [(r["name"], r["namespace"]) for r in rows] == sorted((line[1], line[4]) for line in listed)
    assert [r["export"] for r in rows] == [symbols[r["name"]][0] for r in rows]
    assert [r["export.symbol"] for r in rows] == [r["name"] for r in rows]  # many have aliases


def test_calls_of_trampolines_equal_static_call_sites(
    vmlinux: Path, sections: dict[str, tuple[int, int, bytes]], symbols: dict[str, tuple[int, int]]
) -> None:
    start, stop = (symbols[f"__{end}_static_call_sites"][0] for end in ("start", "stop"))
    address, _, content = sections[".rodata"]
    linux = set()
    # struct static_call_site: s32 addr; s32 key, whose lowest bit says a tail call, the next one init code
    for i, (site, key) in enumerate(struct.iter_unpack("<ii", content[start - address : stop - address])):
        at = start + 8 * i
        linux.add((at + site, (at + 4 + key) & ~3, bool((at + 4 + key) & 1)))
    keys = {
        name: symbols["__SCK__" + name.removeprefix("__SCT__")][0] for name in symbols if name.startswith("__SCT__")
    }
    found = extract(vmlinux, "static_calls")["entries"]
    assert len(linux) > 500
    assert {tail for *_, tail in linux} == {False, True}
    assert {e["kind"] for e in found} == {"call", "jump"}
    assert {(e["address"], keys[e["symbol"]], e["kind"] == "jump") for e in found} == linux
    assert len(found) == len(linux)


RETURNS = """
    name = "returns"
    about = "jumps to the thunk that takes the place of returns"
    [select]
    functions = ["__x86_return_thunk"]
    kinds = ["jump", "cond-jump"]
    leave = ["relative-pointer", "address", "pointer"]
"""


def test_branches_to_thunks_equal_those_that_objtool_lists(
    vmlinux: Path, sections: dict[str, tuple[int, int, bytes]], tmp_path: Path
) -> None:
    (tmp_path / "returns.toml").write_text(RETURNS)
    more = {}
    for name, rule in ((".retpoline_sites", "retpolines"), (".return_sites", tmp_path / "returns.toml")):
        address, _, content = sections[name]
        linux = {address + 4 * i + site for i, (site,) in enumerate(struct.iter_unpack("<i", content))}
        found = [entry["address"] for entry in extract(vmlinux, rule)["entries"]]
        assert len(linux) > 1000
        assert len(set(found)) == len(found)
        assert not linux - set(found), name
        more[name] = len(set(found) - linux)
    assert more[".retpoline_sites"] == 0
    assert more[".return_sites"] < 5  # in objects that objtool is not run on (OBJECT_FILES_NON_STANDARD)


def test_pointers_to_functions_equal_the_table_of_system_calls(
    vmlinux: Path, sections: dict[str, tuple[int, int, bytes]], symbols: dict[str, tuple[int, int]], tmp_path: Path
) -> None:
    rule = tmp_path / "syscalls.toml"
    rule.write_text("""
        name = "syscalls"
        about = "pointers to system calls"
        [select]
        functions = ["__x64_sys_*"]
        sections = [".rodata"]
        kinds = ["pointer"]
        leave = ["interior"]
    """)
    start, size = symbols["sys_call_table"]
    address, _, content = sections[".rodata"]
    linux = struct.unpack(f"<{size // 8}Q", content[start - address : start - address + size])
    entries = [e for e in extract(vmlinux, rule)["entries"] if start <= e["address"] < start + size]
    assert [entry["address"] for entry in entries] == list(range(start, start + size, 8))
    assert [symbols[entry["symbol"]][0] + entry["addend"] for entry in entries] == list(linux)


def test_relocations_equal_the_lists_of_linuxs_own_tool(vmlinux: Path) -> None:
    """arch/x86/tools/relocs, which the build of Linux has made: words of 32 bits, a zero before each of its lists."""
    tool = vmlinux.parent / "arch/x86/tools/relocs"
    text = run([tool, "--text", vmlinux], Path.cwd(), "list relocations").output
    words = [int(line.split()[1], 16) for line in text.splitlines() if line.split()[0] == ".long"]
    stops = [place for place, word in enumerate(words) if not word]
    ends = zip(stops, [*stops[1:], len(words)], strict=True)
    wide, inverse, narrow = (words[start + 1 : end] for start, end in ends)
    entries = extract(vmlinux, "linux-relocs")["entries"]
    # the lists have the low half of an address
    ours = [(entry["address"] % (1 << 32), entry["kind"]) for entry in entries]
    assert sorted(place for place, kind in ours if kind == "abs64") == wide
    assert sorted(place for place, kind in ours if kind == "rel32") == inverse
    assert sorted(place for place, kind in ours if kind in ("abs32", "abs32s")) == narrow
    assert all(len(part) > 1000 for part in (wide, inverse, narrow))
    assert len(ours) == len(wide) + len(inverse) + len(narrow)


def test_kallsyms_are_byte_for_byte_those_of_linux(linux: Linux, linux_tree: Path) -> None:
    expected = tool(linux_tree / "scripts/kallsyms", *linux.kallsyms, linux_tree / "System.map")
    assert buildplug("ksyms", linux_tree / "vmlinux", "--format", linux.format).stdout == expected
