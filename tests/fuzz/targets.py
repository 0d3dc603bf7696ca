"""What reads data that may be hostile: each takes bytes, and may raise nothing but BuildplugError."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from buildplug.arch.x86 import X86_64
from buildplug.config import ops, project
from buildplug.config.rule import find, find_shipped
from buildplug.image import build_id, loading, strip
from buildplug.image.compare import compare
from buildplug.image.elf import Image
from buildplug.linker.family import FAMILIES
from buildplug.linker.script import Placement, outputs
from buildplug.record import build as record_build
from buildplug.record import provenance
from buildplug.record.report import read as read_report
from buildplug.runtime.fixup import fixup
from buildplug.runtime.memory import memory_of
from buildplug.stage.forecast import forecast
from buildplug.stage.notes import Verified
from buildplug.stage.proof import verify
from buildplug.tables.kallsyms import kallsyms_of
from buildplug.tables.ksyms import collected
from buildplug.tables.registry import format_of
from tests.fuzz import mutate
from tests.fuzz.kernel import Kernel, written

Read = Callable[[bytes], object]
Mutate = Callable[[random.Random, bytes], bytes]


SCRIPT = b"""
SECTIONS { first = .; PHYS = 0x1000; . = 0x100000; .head 0x4000 : AT(0x1000) { head = .; KEEP(*(.head)) tail = .; }
.text : { *(.text .text.*) } . = ALIGN(4096); end = .; PROVIDE(provided = .); alias = pv_a;
.none : { none = .; . += 8; }
.data : { *(.data*) *(COMMON) } /DISCARD/ : { *(.comment) } last = ABSOLUTE(.); }
"""


@dataclass(frozen=True)
class Target:
    """A reader, its seeds, and how they are changed. `share`: of the inputs."""

    read: Read
    seeds: tuple[bytes, ...]
    mutate: Mutate
    share: int


def targets(kernel: Kernel, scratch: Path) -> dict[str, Target]:
    """All of them. `scratch`: a folder for what must be a file."""
    draft, final = Image(kernel.draft), Image(kernel.final)
    rules = [rule for rule in find_shipped() if rule.symbol in final.names]
    wanted = [(rule, None) for rule in rules]
    own = {rule.section for rule in rules}
    listing, kallsyms = find("ksyms", scratch), find("linux-kallsyms", scratch)
    paravirt = next(rule for rule in rules if rule.name == "paravirt")

    def of(data: bytes) -> Image:
        return Image.of(Path("mutated"), data)

    def read(data: bytes) -> None:
        image = of(data)
        _ = image.names, image.segments, image.loaded, image.relocations()
        collected(image, listing, 0)

    def tables(data: bytes) -> None:
        image = of(data)
        for rule in rules:
            format_of(rule).make(image, rule, None)

    def linux(data: bytes) -> None:
        kallsyms_of(of(data), kallsyms)

    def proof(data: bytes) -> None:
        verify(draft, of(data), wanted)

    def other_draft(data: bytes) -> None:
        image = of(data)
        compare(image, final, own)
        loading.changed(image, final, own)

    def patched(data: bytes) -> None:
        image = of(data)
        memory, start, end = memory_of(image)
        places = [image.address_of(name) or 0 for name in (paravirt.symbol, f"{paravirt.symbol}_native")]
        fixup(image.arch, memory, places[0], places[1], start, end)

    def dropped(data: bytes) -> None:
        path = scratch / "image"
        path.write_bytes(data)
        strip.drop(path, scratch / "stripped")
        build_id.algorithm_of(Image(path))

    def in_file(name: str, reader: Callable[[Path], object]) -> Read:
        def look(data: bytes) -> None:
            (scratch / name).write_bytes(data)
            reader(scratch / name)

        return look

    def of_input(name: str) -> Read:
        return in_file(name, lambda path: forecast([path], Placement(), [listing], FAMILIES[-1]))

    def script(data: bytes) -> None:
        placement = Placement(outputs=tuple(outputs(data.decode(errors="replace"))))
        forecast(objects[:1], placement, [listing], FAMILIES[-1])

    folder, image = kernel.folder, mutate.binary
    objects = sorted((folder / "build/obj").rglob("*.o"))
    inputs = tuple(path.read_bytes() for path in objects)
    archive = b"!<arch>\n" + b"".join(
        f"{'o/':<16}{0:<12}{0:<6}{0:<6}{0:<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
        for data in inputs
    )
    thin = b"!<thin>\n" + f"{'//':<48}{8:<10}`\none.o/\n\n".encode()
    thin += b"".join(f"{name:<48}{100:<10}`\n".encode() for name in ("two.o/", "/0"))
    kernel_images = (kernel.final.read_bytes(),)
    notes = tuple(path.read_bytes() for path in sorted((folder / "build").rglob("notes/*.json")))
    record = (folder / "build/k.buildplug.json").read_bytes()
    made = next((folder / "build").glob("*.provenance.json")).read_bytes()
    text = {name: ((folder / name).read_bytes(),) for name in ("buildplug.toml", "ops.toml", "rule.toml")}
    return {
        "image": Target(read, (*written().values(), *kernel_images), image, 40),
        "tables": Target(tables, kernel_images, image, 4),
        "kallsyms": Target(linux, (*written().values(), *kernel_images), image, 6),
        "verify": Target(proof, kernel_images, image, 8),
        "draft": Target(other_draft, (kernel.draft.read_bytes(),), image, 6),
        "apply": Target(patched, kernel_images, image, 6),
        "object": Target(of_input("input.o"), inputs, image, 6),
        "archive": Target(of_input("input.a"), (archive, thin), image, 2),
        "script": Target(script, ((folder / "k.lds").read_bytes(), SCRIPT), mutate.binary, 4),
        "strip": Target(dropped, kernel_images, image, 4),
        "project": Target(in_file("buildplug.toml", project.read), text["buildplug.toml"], mutate.of_toml, 8),
        "ops": Target(in_file("ops.toml", lambda p: ops.read(p, X86_64)), text["ops.toml"], mutate.of_toml, 8),
        "rule": Target(in_file("rule.toml", lambda p: find(p.name, scratch)), text["rule.toml"], mutate.of_toml, 8),
        "record": Target(in_file("k.json", record_build.read_record), (record,), mutate.of_json, 8),
        "report": Target(in_file("r.json", read_report), (record,), mutate.of_json, 2),
        "note": Target(
            in_file("n.json", lambda p: record_build.read_note(p, Verified)), notes or (b"{}",), mutate.of_json, 8
        ),
        "provenance": Target(in_file("p.json", provenance.read), (made,), mutate.of_json, 8),
    }
