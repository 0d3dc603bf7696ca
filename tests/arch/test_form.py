"""The records of forms: consistent in themselves, and as assemblers and capstone have the instructions."""

import capstone
import pytest

from buildplug.arch import aarch64, riscv
from buildplug.arch.form import Form
from buildplug.arch.registry import ARCHES

TABLES = {name: arch.forms for name, arch in ARCHES.items()}
FORMS = [pytest.param(form, id=f"{name} {form.name}") for name, forms in TABLES.items() for form in forms]


@pytest.mark.parametrize("form", FORMS)
def test_code_is_inside_of_the_mask(form: Form) -> None:
    assert len(form.code) == len(form.mask)
    assert all(code & ~mask == 0 for code, mask in zip(form.code, form.mask, strict=True))


@pytest.mark.parametrize("form", FORMS)
def test_mask_leaves_the_field_free(form: Form) -> None:
    mask = int.from_bytes(form.mask, "little") >> 8 * form.at
    assert mask & form.field.mask == 0
    assert form.at + form.field.size <= form.length


@pytest.mark.parametrize("name", TABLES)
def test_a_longer_form_stands_before_those_that_it_begins_with(name: str) -> None:
    forms = TABLES[name]
    for number, form in enumerate(forms):
        for later in forms[number + 1 :]:
            begins = later.length > form.length and all(
                (c ^ d) & m & n == 0 for c, d, m, n in zip(form.code, later.code, form.mask, later.mask, strict=False)
            )
            assert not begins or form.kind.data != later.kind.data, (form.name, later.name)


@pytest.mark.parametrize(
    ("form", "kind", "mode", "text"),
    [
        (form, capstone.CS_ARCH_ARM64, 0, text)
        for form, text in zip(
            aarch64.FORMS,
            ["adrp ldr blr", "adrp ldr br", *["bl hint hint hint", "bl hint hint", "bl hint", "bl"], "b", "b.eq", "cbz",
             "tbz", "adr", "adrp", "add"],
            strict=False,
        )
    ]
    + [
        (form, capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC, text)
        for form, text in zip(
            riscv.FORMS,
            ["auipc ld jalr", "auipc jalr slti slti", "auipc jalr slti", *["auipc jalr"] * 3,
             "auipc jr", "auipc jr", "jal", "jal", "j", "beqz", "auipc", "lui", "c.j", "c.beqz"],
            strict=False,
        )
    ],
)  # fmt: skip
def test_code_is_the_instructions(form: Form, kind: int, mode: int, text: str) -> None:
    found = [i.mnemonic for i in capstone.Cs(kind, mode).disasm(form.code, 0x1000)]
    assert " ".join(found).startswith(text), found
