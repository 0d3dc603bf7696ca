"""The forms that Linux's link stage has had, one record each.

A tree's form is recognised by the contents of its files, not by its version: distributions backport changes.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path

from buildplug.base import files
from buildplug.base.errors import BuildplugError
from buildplug.base.records import frozen

SCRIPT = "scripts/link-vmlinux.sh"


@frozen
class LinkStage:
    """One form of the link stage: how it is recognised, and where our stage is plugged in."""

    version: str  # the first version of Linux that has this form
    hook: str  # the line of SCRIPT before which our line is inserted
    output: str  # the argument of SCRIPT's last call of vmlinux_link()
    says: Mapping[str, str]  # file -> a text in it that some other form does not have
    kallsyms: str  # our configuration that makes the kallsyms tables
    paravirt: str  # our configuration that makes the list of paravirt sites as well
    machines: Mapping[str, tuple[str, ...]]  # an option that says the architecture -> others that must be on there
    wanted: tuple[str, ...]  # options that must be on
    unwanted: tuple[str, ...]  # options that must be off
    # What SCRIPT links for pahole, with empty kallsyms, if the kernel has type information (BTF). Empty if it does so
    # before `hook`, with none.
    typed: str
    # The lines of scripts/mksysmap, single spaces in them and no backslash behind: with these, System.map is written
    # from what the stage has read.
    mksysmap: tuple[str, ...]
    # Redefines the macros that list paravirt sites, so that they emit the code but no record.
    # File -> (the line before which lines are inserted, those lines).
    emptied: Mapping[str, tuple[str, tuple[str, ...]]]
    # File -> texts in it that say the numbers in our list of paravirt sites.
    listed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # Globs of the names that `mksysmap` leaves out; empty if they are those that the rule of `kallsyms` excludes.
    unlisted: tuple[str, ...] = ()

    def differences(self, tree: Path, *, paravirt: bool) -> Iterator[str]:
        """What in a tree differs from this form, one phrase each."""
        anchors = {SCRIPT: self.hook} | {name: anchor for name, (anchor, _) in self.emptied.items() if paravirt}
        for name, anchor in anchors.items():
            if (count := _text(tree / name).split("\n").count(anchor)) != 1:
                yield f"{name} has {count} lines {anchor!r} instead of one"
        if not re.search(rf"^vmlinux_link {re.escape(self.output)}( |$)", _text(tree / SCRIPT), re.MULTILINE):
            yield f"the last link of {SCRIPT} is not {self.output}"
        said = [*self.says.items(), *((name, text) for name in self.listed for text in self.listed[name] if paravirt)]
        for name, text in said:
            if text not in _text(tree / name):
                yield f"{name} has no {' '.join(text.split())}"

    def writes_system_map(self, tree: Path) -> bool:
        """Whether the tree makes its System.map as this form does."""
        lines = (" ".join(line.rstrip("\\").split()) for line in _text(tree / "scripts/mksysmap").splitlines())
        return tuple(line for line in lines if line and line[0] != "#") == self.mksysmap

    def check_options(self, config: Path, *, paravirt: bool) -> None:
        """Raises BuildplugError if the stage does not support an option of the tree's .config."""
        enabled = enabled_options(config)
        remedy = "change the configuration, or build Linux with its own link stage"
        machine = next((option for option in self.machines if option in enabled), None)
        if machine is None:
            options = " or ".join(f"CONFIG_{option}=y" for option in self.machines)
            raise BuildplugError(config, f"expected {options}, found another architecture", remedy)
        if paravirt and machine != "X86_64":
            raise BuildplugError(config, f"expected CONFIG_X86_64=y, found CONFIG_{machine}=y", "leave out --paravirt")
        for option in (*self.machines[machine], *self.wanted):
            if option not in enabled:
                raise BuildplugError(config, f"expected CONFIG_{option}=y, found it off", remedy)
        for option in self.unwanted:
            if option in enabled:
                raise BuildplugError(config, f"expected CONFIG_{option} off, found it on", remedy)


# Commands of scripts/mksysmap, in the order that it has had them in since 6.12; newer ones stand between.
NO_SYMBOLS = (
    "/ [aNUw] /d", r"/ \$/d", r"/ \.L/d", "/ __efistub_/d", r"/ __pi_\$/d", r"/ __pi_\.L/d", r"/ __kvm_nvhe_\$/d",
    r"/ __kvm_nvhe_\.L/d", "/ __[[:alnum:]]*Thunk_/d", "/ __kcfi_typeid_/d", "/ __kvm_nvhe___kcfi_typeid_/d",
    "/ __pi___kcfi_typeid_/d", "/ __crc_/d", "/ __kstrtab_/d", "/ __kstrtabns_/d",
)  # fmt: skip
VENEERS = ("/_from_arm$/d", "/_from_thumb$/d", "/_veneer$/d", "/ L0$/d", "/ _SDA_BASE_$/d", "/ _SDA2_BASE_$/d")
BRANCHES = (r"/\.long_branch\./d", r"/\.plt_branch\./d")

# Of 6.12 and newer, where paravirt sites are alternatives.
ALTERNATIVES = ("ALT_FLAG_NOT\t\t(1 << 0)", "ALT_FLAG_DIRECT_CALL\t(1 << 1)", "u32 cpuid: 16;")
FEATURES = (
    "X86_FEATURE_ALWAYS\t\t( 3*32+21)", "X86_FEATURE_XENPV\t\t( 8*32+16)", "X86_FEATURE_VCPUPREEMPT\t\t( 8*32+21)",
)  # fmt: skip
FLAGS_SAVED = (
    "#else  /* CONFIG_PARAVIRT */",
    ("#ifdef SAVE_FLAGS", "#undef SAVE_FLAGS", "#define SAVE_FLAGS PARA_IRQ_save_fl", "#endif"),
)


def _calls(slot: str, test: str = "") -> tuple[str, ...]:
    """The macros that make alternatives of paravirt sites, without. `slot`: the parameters that say which."""
    code = f"({{ PVOP_CALL_ARGS; {test}asm volatile(PARAVIRT_CALL : call_clbr, ASM_CALL_CONSTRAINT : "
    code += f'paravirt_ptr({slot}), ##__VA_ARGS__ : "memory", "cc" extra_clbr); ret; }})'
    return (
        "#undef ____PVOP_CALL",
        "#undef ____PVOP_ALT_CALL",
        f"#define ____PVOP_CALL(ret, {slot}, call_clbr, extra_clbr, ...) {code}",
        # the arguments of a macro are expanded before it calls another: this cannot be made of that
        f"#define ____PVOP_ALT_CALL(ret, {slot}, alt, cond, call_clbr, extra_clbr, ...) {code}",
    )


STAGES = (
    LinkStage(
        version="6.1",
        hook='kallsymso=""',
        output="vmlinux",
        says={"scripts/kallsyms.c": '"base-relative"', "kernel/kallsyms_internal.h": "kallsyms_seqs_of_names"},
        kallsyms="kbuild-kallsyms.config",
        paravirt="kbuild-paravirt.config",
        machines={"X86_64": ("KALLSYMS_ABSOLUTE_PERCPU", "X86_NEED_RELOCS")},  # then it links with --emit-relocs
        wanted=("KALLSYMS", "KALLSYMS_ALL", "KALLSYMS_BASE_RELATIVE"),
        unwanted=("LTO_CLANG",),  # names in kallsyms then differ from those of the symbols
        typed="",
        mksysmap=(
            "$NM -n $1 | grep -v", "-e ' [aNUw] '", r"-e ' \$'", r"-e ' \.L'", "-e ' __crc_'", "-e ' __kstrtab_'",
            "-e ' __kstrtabns_'", "-e ' L0$'", "> $2",
        ),
        unlisted=("$*", ".L*", "__crc_*", "__kstrtab_*", "__kstrtabns_*", "L0"),
        emptied={
            "arch/x86/include/asm/paravirt_types.h": (
                "/* Generate patchable code, with the default asm parameters. */",
                ("#undef _paravirt_alt", '#define _paravirt_alt(insn_string, type, clobber) insn_string "\\n"'),
            ),
            "arch/x86/include/asm/paravirt.h": (
                "#define PARA_SITE(ptype, ops)\t_PVSITE(ptype, ops, .quad, 8)",
                ("#undef _PVSITE", "#define _PVSITE(ptype, ops, word, algn) ops"),
            ),
        },
    ),
    LinkStage(
        version="6.12",
        hook="kallsymso=",
        output="vmlinux",
        says={
            "scripts/kallsyms.c": '"absolute-percpu"',
            "scripts/mksysmap": "/ [aNUw] /d",
            "kernel/kallsyms_internal.h": "extern const unsigned long kallsyms_relative_base",
        },
        kallsyms="kbuild-kallsyms-6-12.config",
        paravirt="kbuild-paravirt-6-12.config",
        machines={"X86_64": ("KALLSYMS_ABSOLUTE_PERCPU",), "ARM64": (), "RISCV": ("64BIT",)},
        wanted=("KALLSYMS", "KALLSYMS_ALL"),
        unwanted=(),
        typed=".tmp_vmlinux1",
        mksysmap=(*NO_SYMBOLS, *VENEERS, *BRANCHES),
        listed={
            "arch/x86/include/asm/alternative.h": ALTERNATIVES,
            "arch/x86/include/asm/cpufeatures.h": (*FEATURES, "X86_FEATURE_PVUNLOCK\t\t( 8*32+20)"),
        },
        emptied={
            "arch/x86/include/asm/paravirt_types.h": (
                "#define __PVOP_CALL(rettype, op, ...)\t\t\t\t\t\\", _calls("op", "PVOP_TEST_NULL(op); "),
            ),
            "arch/x86/include/asm/paravirt.h": FLAGS_SAVED,
        },
    ),
    LinkStage(
        version="7.3",
        hook="kallsymso=",
        output='"${VMLINUX}"',
        says={"scripts/kallsyms.c": '"pc-relative"', "scripts/mksysmap": "/ __mod_device_table__/d"},
        kallsyms="kbuild-kallsyms-7-3.config",
        paravirt="kbuild-paravirt-7-3.config",
        machines={"X86_64": (), "ARM64": (), "RISCV": ("64BIT",)},
        wanted=("KALLSYMS", "KALLSYMS_ALL"),
        unwanted=("LTO_CLANG",),  # its names have suffixes, by which mksysmap keeps some that the rule leaves out
        typed=".tmp_vmlinux1",
        mksysmap=(
            *NO_SYMBOLS, "/ __mod_device_table__/d", *VENEERS, "/ __UNIQUE_ID_modinfo_[0-9]*$/d", *BRANCHES,
        ),
        listed={
            "arch/x86/include/asm/alternative.h": ALTERNATIVES,
            "arch/x86/include/asm/cpufeatures.h": FEATURES,
        },
        emptied={
            "arch/x86/include/asm/paravirt_types.h": (
                "#define __PVOP_CALL(rettype, array, op, ...)\t\t\t\t\\", _calls("array, op"),
            ),
            "arch/x86/include/asm/paravirt.h": FLAGS_SAVED,
        },
    ),
)  # fmt: skip


def enabled_options(config: Path) -> set[str]:
    """What a .config has built in, without CONFIG_. Raises BuildplugError."""
    return set(re.findall(r"^CONFIG_(\w+)=y$", files.read_text(config), re.MULTILINE))


def stage_of(tree: Path, *, paravirt: bool) -> LinkStage:
    """The form that a tree has. Raises BuildplugError if none fits, with the differences from the nearest."""
    found = dict(re.findall(r"^(VERSION|PATCHLEVEL) = (\d+)$", _text(tree / "Makefile"), re.MULTILINE))
    if not (tree / SCRIPT).is_file() or len(found) != 2:
        raise BuildplugError(tree, "expected a source tree of Linux, found none", "name the folder of its sources")
    differences = {stage.version: list(stage.differences(tree, paravirt=paravirt)) for stage in STAGES}
    nearest = min(reversed(STAGES), key=lambda stage: len(differences[stage.version]))  # the newest of several
    if different := differences[nearest.version]:
        raise BuildplugError(
            tree, f"expected the link stage of Linux {nearest.version}, found Linux {'.'.join(found.values())}, where "
            f"{', '.join(different)}", "build it with its own link stage",
        )  # fmt: skip
    return nearest


def _text(path: Path) -> str:
    return files.read_text(path) if path.is_file() else ""
