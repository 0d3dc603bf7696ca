"""Extraction from a cross-built Linux, against what binutils and Linux itself say of it, for each architecture."""

import json
import re
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from buildplug.arch.form import ADDRESS
from buildplug.image.elf import Image
from buildplug.image.headers import Array
from tests.conftest import tool
from tests.linux_cross import Cross, link_words
from tests.samples import buildplug

pytestmark = pytest.mark.linux

# what objdump calls instructions that transfer control to a place, and the instructions that they may be the second of
BRANCHES = {"arm64": r"bl?|b\.\w+|cbn?z|tbn?z", "riscv": r"jal|jalr|jr?|b\w+"}
NOT_IN_KSYMS = re.compile(r"\$|\.L|_TLS_MODULE_BASE_$|__ehdr_start$|.*_veneer$")

RECORDS = """
    name = "records"
    about = "what Linux annotates"
    [select]
    rows = "records"
    sections = ["{section}"]
    members = [{members}]
    [table]
    fields = [{{ name = "at", type = "i4", value = "{first}" }}]
"""
HOLDS = {"i4": ', holds = "address"'}
EXTABLE = {"insn": "i4", "fixup": "i4", "type": "u2", "data": "u2"}  # struct exception_table_entry of both
ALTERNATIVES = {  # struct alt_instr, struct alt_entry
    "arm64": (".altinstructions", {"orig": "i4", "alt": "i4", "cap": "u2", "orig_len": "u1", "alt_len": "u1"}),
    "riscv": (".alternative", {"old": "i4", "alt": "i4", "vendor": "u2", "len": "u2", "patch": "u4"}),
}
CODES = {"i4": "i", "u1": "B", "u2": "H", "u4": "I"}  # of struct


@pytest.fixture(scope="module")
def vmlinux(cross_image: Path) -> Path:
    return cross_image


@pytest.fixture(scope="module")
def branches(cross: Cross, vmlinux: Path) -> Array:
    """The address and target of each branch to a constant that objdump prints, u8, shape (branches, 2)."""
    text = tool(f"{cross.prefix}objdump", "-d", "--no-show-raw-insn", vmlinux)
    found = re.findall(rf"^([0-9a-f]+):\t(?:{BRANCHES[cross.name]})\t(?:.*[ ,#]|)([0-9a-f]+) <", text, re.MULTILINE)
    assert len(found) > 100_000
    return np.array([[int(address, 16), int(target, 16)] for address, target in found], "u8")


@pytest.fixture(scope="module")
def elf(vmlinux: Path) -> dict[str, Any]:
    """What pyelftools reads: the starts of functions; the addresses by name of all symbols; the places of relocations;
    address and content by section."""
    functions, named = set[int](), dict[str, set[int]]()
    places, contents = [], {}
    with vmlinux.open("rb") as file:
        found = ELFFile(file)
        table = found.get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        for symbol in table.iter_symbols():
            named.setdefault(symbol.name, set()).add(symbol["st_value"])
            if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_shndx"] != "SHN_UNDEF":
                functions.add(symbol["st_value"])
        for section in found.iter_sections():
            if section["sh_type"] == "SHT_RELA" and section["sh_info"]:
                if found.get_section(section["sh_info"])["sh_flags"] & 2:  # SHF_ALLOC
                    places.append(np.frombuffer(section.data(), "<u8").reshape(-1, 3)[:, 0])
            else:
                contents[section.name] = section["sh_addr"], section.data()
    return {"functions": functions, "named": named, "relocated": np.concatenate(places), "contents": contents}


def extract(image: Path, rule: str | Path) -> dict[str, Any]:
    done = buildplug("extract", image, "--rule", rule, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_branch_decodes_to_the_target_that_objdump_prints(cross: Cross, vmlinux: Path, branches: Array) -> None:
    """Each form of code is tried at each, without any relocation."""
    image, arch = Image(vmlinux), cross.arch
    targets = np.zeros(len(branches), "u8")
    for form in arch.forms:
        if form.kind.data or form.kind.slot or form.kind is ADDRESS or form.field.partial:
            continue
        start = branches[:, 0] - np.uint64(4 * (form.length >= 8))  # objdump prints the target at the second
        home = image.sections_at(start)
        at = np.flatnonzero((home >= 0) & (targets == 0))
        offset = (start[at] - image.addresses[home[at]]).astype("i8")
        for k, code, mask in form.fixed:
            same = (image.data[image.contents[0].astype("i8")[home[at]] + offset + k] & mask) == code
            at, offset = at[same], offset[same]
        words = image.words(home[at], offset + form.at, form.field.size)
        value = form.field.get(words, start[at] + np.uint64(form.pc % 2**64)) & np.uint64(arch.modulus - 1)
        if form.length >= 8:  # the first of such a pair may belong to another instruction
            at, value = at[value == branches[at, 1]], value[value == branches[at, 1]]
        targets[at] = value
    decoded = targets != 0
    assert (targets[decoded] == branches[decoded, 1]).all()
    # the others are `jalr` and `jr` whose auipc is not right before them
    assert np.count_nonzero(~decoded) < len(branches) // 1000


def test_extract_gives_the_calls_and_branches_to_functions_that_objdump_prints(
    cross: Cross, vmlinux: Path, branches: Array, elf: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "branches.toml").write_text("""
        name = "branches"
        about = "every call of a function, and every branch to its start"
        [select]
        functions = ["*"]
        kinds = ["call", "jump", "cond-jump"]
        leave = ["pointer", "address", "relative-pointer", "interior", "other", "got"]
        [table]
        fields = [{ name = "site", type = "i4", value = "site" }]
    """)
    entries = extract(vmlinux, tmp_path / "branches.toml")["entries"]
    functions, printed = elf["functions"], dict(branches.tolist())
    ours = {entry["address"] + 4 * (entry["length"] == 8): entry["symbol"] for entry in entries}
    assert len(ours) == len(entries) > 30_000
    assert not [hex(address) for address in ours.keys() - printed.keys()]
    assert not [name for address, name in ours.items() if printed[address] not in elf["named"][name]]
    # What objdump prints and is no row: branches without a relocation, which gas leaves out for loops and for a static
    # function in the same section; and loops back to the function's start by a local label.
    rest = {address for address, target in printed.items() if target in functions} - ours.keys()
    relocated, riscv = {*elf["relocated"].tolist()}, cross.name == "riscv"
    named = [address for address in rest if address in relocated or (address - 4 in relocated and riscv)]
    order = np.array(sorted(functions), "u8")
    for address in named:
        own = order[np.searchsorted(order, np.uint64(address), "right") - 1]
        assert printed[address] == own
    assert len(named) < 30
    assert (len(rest) > len(named)) != riscv  # its assembler keeps a relocation for each


@pytest.mark.parametrize("table", ["__ex_table", "alternatives"])
def test_records_are_linuxs_own(cross: Cross, vmlinux: Path, elf: dict[str, Any], table: str, tmp_path: Path) -> None:
    section, members = ALTERNATIVES[cross.name] if table == "alternatives" else (table, EXTABLE)
    held = [f'{{ name = "{name}", type = "{kind}"{HOLDS.get(kind, "")} }}' for name, kind in members.items()]
    (tmp_path / "records.toml").write_text(
        RECORDS.format(section=section, members=", ".join(held), first=next(iter(members)))
    )
    address, content = elf["contents"][section]
    form = struct.Struct("<" + "".join(CODES[kind] for kind in members.values()))
    linux = [
        (address + n * form.size + first, address + n * form.size + 4 + second, *rest)
        for n, (first, second, *rest) in enumerate(form.iter_unpack(content))
    ]
    assert len(linux) > 20
    found = [tuple(row.values()) for row in extract(vmlinux, tmp_path / "records.toml")["rows"]]
    assert found == sorted(linux)  # the order of the rule


def test_patchable_entries_are_linuxs_list_of_places_to_trace(cross: Cross, vmlinux: Path, tmp_path: Path) -> None:
    """In Linux's image they have no section of their own, so it is linked again with one, behind all code."""
    built = vmlinux.parent
    if "\nCONFIG_DYNAMIC_FTRACE=y\n" not in (built / ".config").read_text():
        assert (cross.name, cross.version) == ("riscv", "7.3")
        pytest.skip("this compiler makes no places to trace beside compressed instructions, of which 7.3 asks it")
    script = (built / cross.script).read_text()
    assert "KEEP(*(__patchable_function_entries))" in script
    (tmp_path / "own.lds").write_text(script.replace("KEEP(*(__patchable_function_entries))", ""))
    words = [word.replace(cross.script, f"{tmp_path}/own.lds") for word in link_words(built, cross)]
    tool(*words, "--emit-relocs", ".tmp_vmlinux2.kallsyms.o", "-o", tmp_path / "own", cwd=built)
    rows = extract(tmp_path / "own", "patchable")["rows"]
    symbols = map(str.split, (built / "System.map").read_text().splitlines())
    listed = {name: int(address, 16) for address, _, name in symbols}
    start, stop = listed["__start_mcount_loc"], listed["__stop_mcount_loc"]
    linux = []
    for line in tool(f"{cross.prefix}readelf", "-rW", vmlinux).partition("'.rela.dyn'")[2].splitlines()[2:]:
        if not line.strip():
            break
        place, _, kind, value, *_ = line.split()
        if kind.endswith("_RELATIVE") and start <= int(place, 16) < stop:
            linux.append(int(value, 16) % (1 << 64))
    assert len(linux) == (stop - start) // 8 > 10_000
    assert sorted(row["site"] for row in rows) == sorted(linux)


def test_ksyms_are_nms(cross: Cross, vmlinux: Path) -> None:
    listed = Counter(
        line for line in tool(f"{cross.prefix}nm", "-n", "--defined-only", vmlinux).splitlines()
        if not NOT_IN_KSYMS.match(line.split(maxsplit=2)[2])
    )  # fmt: skip
    done = buildplug("ksyms", vmlinux)
    assert done.returncode == 0, done.stderr
    assert listed.total() > 20_000
    assert Counter(done.stdout.splitlines()) == listed


def test_kallsyms_are_byte_for_byte_those_of_linux(cross: Cross, vmlinux: Path) -> None:
    built = vmlinux.parent
    expected = tool(built / "scripts/kallsyms", *cross.kallsyms, built / "System.map")
    assert buildplug("ksyms", vmlinux, "--format", cross.format).stdout == expected
