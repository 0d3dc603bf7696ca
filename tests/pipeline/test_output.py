"""What a build says: its passes, and errors in one line that name what is wrong."""

import contextlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from buildplug.pipeline.doit_tasks import PASSES
from tests.samples import buildplug, built, copy_sample, edit, imported, one_line


def test_two_ops_at_one_address_are_refused(kernel: Path) -> None:
    with (kernel / "native_entry.S").open("a") as file:
        file.write(".globl pv_twin\npv_twin = pv_make_pte_rax\n")
    edit(kernel / "paravirt.toml", ("[ops.pte_val]", '[ops.twin]\nfunction = "pv_twin"\n[ops.pte_val]'))
    assert "ops make_pte_rax and twin: expected two addresses, found one" in one_line(buildplug("build", kernel).stderr)


def test_slot_without_a_function_is_refused(kernel: Path) -> None:
    edit(kernel / "paravirt.c", (".halt = native_halt", ".halt = 0"))
    assert "op halt: expected pv_cpu_ops+16 to hold the address" in one_line(buildplug("build", kernel).stderr)


def test_explain_names_every_pass_and_what_changed(kernel: Path) -> None:
    built(kernel)
    for comment in ("one", "another"):  # the first takes the draft's stubs out for the tables
        edit(kernel / "kernel.lds", ("SECTIONS", f"/* {comment} */\nSECTIONS"))
        said = buildplug("build", kernel, "--explain").stderr.splitlines()
        assert [line.partition(":")[0] for line in said if line.partition(":")[0] in PASSES] == list(PASSES)
        assert "draft: runs: changed: kernel.lds" in said
    assert "extract: up to date" in said


def test_build_is_silent(kernel: Path) -> None:
    done = buildplug("build", kernel)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_build_on_a_terminal_shows_the_passes(kernel: Path) -> None:
    ours, theirs = pty.openpty()
    env = os.environ | {"TERM": "xterm"}  # one that can move the cursor
    with subprocess.Popen([sys.executable, "-m", "buildplug", "build", kernel], env=env, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the end of a terminal
            while chunk := os.read(ours, 4096):
                shown += chunk
        os.close(ours)
    assert process.returncode == 0
    assert b"compile" in shown  # the others are over before the next picture


def test_warnings_of_the_compiler_are_shown(kernel: Path) -> None:
    edit(kernel / "buildplug.toml", ('"-Werror",', ""))
    with (kernel / "serial.c").open("a") as file:
        file.write("static int unused;\n")
    done = buildplug("build", kernel)
    assert done.returncode == 0
    assert "'unused' defined but not used" in done.stderr


@pytest.mark.parametrize(("key", "what"), [("cc", "compile"), ("ld", "link vmlinux.draft")])
def test_missing_tool_is_one_line(kernel: Path, key: str, what: str) -> None:
    tool = {"cc": "gcc", "ld": "ld"}[key]
    edit(kernel / "buildplug.toml", (f'{key} = "{tool}"', f'{key} = "no-such-tool"'))
    failed = buildplug("build", kernel)
    assert failed.returncode == 1
    assert what in one_line(failed.stderr)
    assert "no-such-tool" in failed.stderr


def test_linker_error_shows_the_linkers_own_message(kernel: Path) -> None:
    edit(kernel / "kernel.lds", ("kernel_start = .;", ""))
    failed = buildplug("build", kernel)
    assert failed.returncode == 1
    assert "undefined reference to `kernel_start'" in failed.stderr
    one_line(failed.stderr)


def test_undeclared_op_is_an_error_that_names_it(kernel: Path) -> None:
    op = '[ops.flush_tlb]\nfunction = "pv_flush_tlb"\nclobbers = ["ax", "flags", "memory"]\n'
    edit(kernel / "paravirt.toml", (op, ""))
    text = (kernel / "paravirt.toml").read_text()
    (kernel / "paravirt.toml").write_text(
        "".join(line for line in text.splitlines(True) if not line.startswith("flush_tlb"))
    )
    failed = buildplug("build", kernel)
    assert "expected a declared op, found pv_flush_tlb" in one_line(failed.stderr)


@pytest.mark.parametrize(("arch", "register"), [("x86_64", "flags, rcx"), ("i386", "ecx, flags")])
def test_inline_code_that_clobbers_is_an_error(kernel: Path, arch: str, register: str) -> None:
    edit(
        kernel / "paravirt.toml",
        ('irq_disable = { inline = "cli" }', 'irq_disable = { inline = "cli; inc %ecx" }'),
    )
    error = one_line(buildplug("build", kernel, "--arch", arch).stderr)
    assert "backend native, op irq_disable" in error
    assert f"'inc ecx' writes {register}" in error


def test_unknown_key_gets_did_you_mean(kernel: Path) -> None:
    edit(kernel / "buildplug.toml", ("[link]", "[lnik]"))
    failed = buildplug("build", kernel)
    assert failed.returncode == 1
    assert "unknown key 'lnik'; did you mean 'link'?" in one_line(failed.stderr)


def test_apply_names_a_backend_that_is_missing(kernel: Path, tmp_path: Path) -> None:
    built(kernel)
    failed = buildplug("apply", kernel / "build" / "vmlinux", "--backend", "kvm", "-o", tmp_path / "out")
    assert failed.returncode == 1
    assert "bp_paravirt_kvm" in one_line(failed.stderr)
    assert not (tmp_path / "out").exists()


def test_random_build_id_is_refused(tmp_path: Path) -> None:
    kernel = copy_sample(tmp_path / "kernel")
    edit(kernel / "buildplug.toml", ("--build-id=none", "--build-id=uuid"))
    assert "expected a build-id of the content" in one_line(buildplug("build", kernel).stderr)


def test_wrong_usage_exits_with_2() -> None:
    assert buildplug("extract").returncode == 2


def test_extract_imports_no_decoder_for_code_of_compilers(kernel: Path) -> None:
    built(kernel)
    words = ("extract", kernel / "build" / "vmlinux", "--rule", "paravirt")
    assert not imported(*words) & {"capstone", "jinja2", "doit", "rich", "elftools.elf.elffile"}


def test_extract_json_has_the_fields_that_it_promises(kernel: Path) -> None:
    built(kernel)
    done = buildplug("extract", kernel / "build" / "vmlinux", "--rule", "paravirt", "--json")
    result = json.loads(done.stdout)
    assert set(result) == {"entries", "ignored"}
    assert {frozenset(entry) for entry in result["entries"]} == {
        frozenset({"section", "offset", "address", "kind", "length", "symbol", "addend"})
    }
