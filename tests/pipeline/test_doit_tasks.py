"""The pipeline as its users meet it: two links, nothing done twice, the same bytes everywhere, nothing lost."""

import contextlib
import json
import os
import pty
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from buildplug.arch.registry import ARCHES
from buildplug.arch.x86 import X86_64
from buildplug.config.ops import read
from buildplug.image.elf import Image
from buildplug.pipeline.doit_tasks import PASSES
from tests.samples import SAMPLE, buildplug, built, copy_sample, edit, logging_tool, one_line


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    return copy_sample(tmp_path / "kernel")


@pytest.fixture
def log(kernel: Path, tmp_path: Path) -> Path:
    """The kernel's compiler and linker note their runs here."""
    log = tmp_path / "log"
    log.touch()
    cc, ld = (logging_tool(tmp_path / tool, tool, log) for tool in ("gcc", "ld"))
    edit(kernel / "buildplug.toml", ('cc = "gcc"', f'cc = "{cc}"'), ('ld = "ld"', f'ld = "{ld}"'))
    return log


def runs(log: Path, tool: str) -> int:
    """How often a tool ran, --version apart."""
    return sum(line.startswith(f"{tool} ") and "--version" not in line for line in log.read_text().splitlines())


def test_build_links_exactly_twice(kernel: Path, log: Path) -> None:
    assert built(kernel)["links"] == runs(log, "ld") == 2


def test_build_with_nothing_to_do_runs_no_tool(kernel: Path, log: Path) -> None:
    built(kernel)
    log.write_text("")
    before = {p: p.stat().st_mtime_ns for p in (kernel / "build").glob("vmlinux*")}
    built(kernel)
    assert log.read_text() == ""
    assert before == {p: p.stat().st_mtime_ns for p in (kernel / "build").glob("vmlinux*")}


def test_change_of_one_source_compiles_one(kernel: Path, log: Path) -> None:
    built(kernel)
    log.write_text("")
    os.utime(kernel / "main.c")
    built(kernel)
    assert sum("-c main.c" in line for line in log.read_text().splitlines()) == runs(log, "gcc") == 1


def test_change_of_a_header_compiles_what_includes_it(kernel: Path, log: Path) -> None:
    built(kernel)
    log.write_text("")
    os.utime(kernel / "shim.h")
    built(kernel)
    assert "-c shim.c" in log.read_text()
    assert "-c serial.c" not in log.read_text()


def test_change_that_changes_no_code_leaves_the_image_alone(kernel: Path) -> None:
    built(kernel)
    before = (kernel / "build" / "vmlinux").stat().st_mtime_ns
    with (kernel / "serial.c").open("a") as file:
        file.write("/* no code */\n")
    built(kernel)
    assert (kernel / "build" / "vmlinux").stat().st_mtime_ns == before


def test_change_of_the_ops_alone_reaches_the_image(kernel: Path) -> None:
    built(kernel)
    before = (kernel / "build" / "vmlinux").read_bytes()
    edit(
        kernel / "paravirt.toml",
        ('read_cr3 = { inline = "mov %cr3, %{ax}" }', 'read_cr3 = { inline = "nop; mov %cr3, %{ax}" }'),
    )
    built(kernel)
    assert (kernel / "build" / "vmlinux").read_bytes() != before


@pytest.mark.parametrize("where", ["script", "template", "flags"])
def test_change_of_what_is_only_read_on_the_way_reaches_the_image(kernel: Path, where: str) -> None:
    (kernel / "more.lds").write_text("more = 1;\n")
    (kernel / "tables.S.j2").write_text((SAMPLE.parent / "templates/tables/tables.S.j2").read_text())
    edit(kernel / "kernel.lds", ("ENTRY(start)", "ENTRY(start)\nINCLUDE more.lds"))
    before = built(kernel)["outputs"]
    assert "runs" not in buildplug("build", kernel, "--explain").stderr.replace("compile: runs: ninja decides", "")
    if where == "script":
        (kernel / "more.lds").write_text("more = 2;\n")
    elif where == "template":
        edit(kernel / "tables.S.j2", (".balign 8", ".balign 8\n\t.set new, 1"))
    else:
        edit(kernel / "buildplug.toml", ('sources = ["*.[cS]"]', 'sources = ["*.c", "*.S"]'), ('"-O2"', '"-Os"'))
    after = built(kernel)["outputs"]
    assert before["vmlinux"] != after["vmlinux"]


def test_image_that_somebody_changed_is_made_anew(kernel: Path) -> None:
    before = built(kernel)["outputs"]
    image = kernel / "build" / "vmlinux"
    image.write_bytes(image.read_bytes() + b"?")
    assert built(kernel)["outputs"] == before


def test_what_a_table_left_goes_with_it(kernel: Path) -> None:
    with (kernel / "buildplug.toml").open("a") as file:
        file.write('[[table]]\nrule = "functions"\n')
    built(kernel)
    assert (kernel / "build" / "gen" / "bp_functions.h").exists()
    edit(kernel / "buildplug.toml", ('[[table]]\nrule = "functions"\n', ""))
    built(kernel)
    assert not list((kernel / "build" / "gen").glob("bp_functions*"))


def test_record_has_every_header_and_included_script(kernel: Path) -> None:
    inputs = built(kernel)["inputs"]
    assert {"kernel.h", "shim.h", "kernel.lds", "buildplug.toml", "paravirt.toml", "x86_64/boot.S"} <= set(inputs)


def test_build_leaves_files_of_others_alone(kernel: Path, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / ".mine.tmp").write_text("precious")
    built(kernel, "--build-dir", tmp_path / "shared")
    assert (tmp_path / "shared" / ".mine.tmp").read_text() == "precious"


def test_two_ops_at_one_address_are_refused(kernel: Path) -> None:
    with (kernel / "native_entry.S").open("a") as file:
        file.write(".globl pv_twin\npv_twin = pv_make_pte_rax\n")
    edit(kernel / "paravirt.toml", ("[ops.pte_val]", '[ops.twin]\nfunction = "pv_twin"\n[ops.pte_val]'))
    assert "ops make_pte_rax and twin: expected two addresses, found one" in one_line(buildplug("build", kernel).stderr)


def test_slot_without_a_function_is_refused(kernel: Path) -> None:
    edit(kernel / "paravirt.c", (".halt = native_halt", ".halt = 0"))
    assert "op halt: expected pv_cpu_ops+24 to hold the address" in one_line(buildplug("build", kernel).stderr)


def test_verify_notices_a_false_address_in_a_section_that_moved(kernel: Path, tmp_path: Path) -> None:
    edit(
        kernel / "kernel.lds",
        ("ADDR(.data) - kernel_base) ALIGN(4096)", "ADDR(.data) - kernel_base) ALIGN(16) SUBALIGN(16)"),
        ("data_start = .;", "data_start = .; QUAD(0) . = ALIGN(4096);"),
    )
    edit(kernel / "buildplug.toml", ('"--fatal-warnings"', '"--no-warn-rwx-segments"'))
    assert built(kernel)["moved"]
    image = Image(kernel / "build" / "vmlinux")
    section, slot = image.section(".data"), image.address_of("pv_cpu_ops")
    assert slot is not None
    data = bytearray(image.path.read_bytes())
    data[section.offset + slot - section.address] ^= 0x40
    (tmp_path / "false").write_bytes(data)
    failed = buildplug("verify", kernel / "build" / "vmlinux.draft", tmp_path / "false")
    assert failed.returncode == 1
    assert "does not hold what its relocation says" in one_line(failed.stderr)


@pytest.mark.parametrize("name", ["d$x.c", "a b.c", "it's.c", "x:y#z.c", "é.c"])
def test_source_may_have_any_plain_name(kernel: Path, name: str) -> None:
    (kernel / name).write_text("int odd;\n")
    built(kernel)
    assert "odd" in Image(kernel / "build" / "vmlinux").names


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


def test_compile_commands_list_every_source(kernel: Path) -> None:
    built(kernel)
    commands = json.loads((kernel / "build" / "compile_commands.json").read_text())
    sources = {str(p.relative_to(kernel)) for p in (*kernel.glob("*.[cS]"), *kernel.glob("x86_64/*.[cS]"))}
    assert sources <= {entry["file"] for entry in commands}


def test_launcher_goes_before_the_compiler(kernel: Path, tmp_path: Path) -> None:
    plain = built(kernel)
    edit(kernel / "buildplug.toml", ('cc = "gcc"', 'cc = "gcc"\nlauncher = ["ccache"]'))
    env = {"CCACHE_DIR": str(tmp_path / "ccache")}
    for _ in ("cold", "warm"):
        shutil.rmtree(kernel / "build")  # the same folder again, as generated headers lie in it
        record = built(kernel, env=env)
        assert record["outputs"]["vmlinux"] == plain["outputs"]["vmlinux"]
    statistics = subprocess.run(
        ["ccache", "--print-stats"], env=os.environ | env, capture_output=True, text=True, check=True
    ).stdout
    hits = [int(line.split()[1]) for line in statistics.splitlines() if "cache_hit" in line]
    assert sum(hits) > 20


def test_dodo_file_of_a_user_gets_the_same_tasks(kernel: Path) -> None:
    expected = built(kernel, "--build-dir", kernel.parent / "other")["outputs"]["vmlinux"]
    (kernel / "dodo.py").write_text(
        "from buildplug.pipeline import tasks\n\n\ndef task_kernel():\n    yield from tasks('buildplug.toml')\n"
    )
    doit = [sys.executable, "-m", "doit"]
    subprocess.run([*doit, "record"], cwd=kernel, check=True, capture_output=True)
    assert json.loads((kernel / "build" / "vmlinux.buildplug.json").read_text())["outputs"]["vmlinux"] == expected
    listed = subprocess.run([*doit, "list"], cwd=kernel, check=True, capture_output=True, text=True).stdout
    assert set(PASSES) <= {line.split()[0] for line in listed.splitlines()}


@pytest.mark.parametrize("arch", ARCHES)
def test_build_is_the_same_wherever_and_however_it_runs(tmp_path: Path, arch: str) -> None:
    places = (tmp_path / "a", tmp_path / "b c" / "deeper é")
    worlds = (
        {"LC_ALL": "C", "TZ": "UTC", "PYTHONHASHSEED": "1", "HOME": "/"},
        {"LC_ALL": "C.UTF-8", "TZ": "Asia/Kolkata", "PYTHONHASHSEED": "2", "HOME": str(tmp_path)},
    )
    outputs = []
    for place, world, umask, cpus in zip(places, worlds, (0o022, 0o077), ("0", "0,1"), strict=True):
        copy_sample(place)
        words = ("build", place, "--arch", arch, "--build-dir", place / "build")
        subprocess.run(
            ["taskset", "-c", cpus, sys.executable, "-m", "buildplug", *words],
            env=os.environ | world, umask=umask, check=True, timeout=300,
        )  # fmt: skip
        build = place / "build"
        names = ("vmlinux", "vmlinux.draft", "gen/bp_paravirt_table.S", "gen/bp_paravirt.npz")
        outputs.append({name: (build / name).read_bytes() for name in names})
    assert [name for name in outputs[0] if outputs[0][name] != outputs[1][name]] == []


@pytest.mark.parametrize("arch", ARCHES)
def test_linker_that_moves_data_gets_its_table_rewritten(kernel: Path, arch: str) -> None:
    # The alignment is of a place inside a section that itself may start anywhere: what follows it moves.
    edit(
        kernel / "kernel.lds",
        ("ADDR(.data) - kernel_base) ALIGN(4096)", "ADDR(.data) - kernel_base) ALIGN(16) SUBALIGN(16)"),
        ("data_start = .;", "data_start = .; QUAD(0) . = ALIGN(4096);"),
    )
    edit(kernel / "buildplug.toml", ('"--fatal-warnings"', '"--no-warn-rwx-segments"'))
    record = built(kernel, "--arch", arch, "--build-dir", kernel / "build")
    assert record["links"] == 2
    assert record["rewritten"] == ["paravirt", "ksyms", "relocs"]
    assert any(line.startswith(".data") for line in record["moved"])
    build = kernel / "build"
    proved = buildplug("verify", build / "vmlinux.draft", build / "vmlinux")
    assert proved.returncode == 0, proved.stderr
    assert buildplug("verify", build / "vmlinux.draft", build / "vmlinux.relinked").returncode == 1


def add_sites_that_only_the_relink_has(kernel: Path) -> None:
    """A symbol that is an op once the table has grown, and an address in the draft: the true table needs more than the
    room that its size is rounded up to."""
    (kernel / "late.S").write_text(".text\nlate:\n.rept 40\n\tcall pv_late\n.endr\n\tret\n")
    edit(kernel / "buildplug.toml", ('rule = "ksyms"', 'rule = "ksyms"\nslack = 64'))
    edit(
        kernel / "kernel.lds",
        ("/DISCARD/", "pv_late = SIZEOF(.bp_paravirt) > 64 ? pv_io_delay : ABSOLUTE(kernel_start);\n\t/DISCARD/"),
    )


def test_rewritten_table_without_room_is_an_error_that_names_entries_and_the_slack_that_helps(kernel: Path) -> None:
    add_sites_that_only_the_relink_has(kernel)
    failed = buildplug("build", kernel)
    error = one_line(failed.stderr)
    assert failed.returncode == 1
    number = list(read(kernel / "paravirt.toml", X86_64).ops).index("io_delay")
    assert f"table says nothing, image has call of op {number}" in error
    slack = re.search(r"set slack = (\d+) or more", error)
    assert slack
    assert not (kernel / "build" / "vmlinux").exists()
    edit(kernel / "buildplug.toml", ('"paravirt.toml"', f'"paravirt.toml"\nslack = {slack[1]}'))
    assert "paravirt" in built(kernel)["rewritten"]


@pytest.mark.parametrize("name", PASSES)
def test_build_killed_in_a_pass_goes_on_to_the_same_image(kernel: Path, name: str, tmp_path: Path) -> None:
    expected = built(kernel, "--build-dir", tmp_path / "other")["outputs"]["vmlinux"]
    command = [sys.executable, "-m", "buildplug", "build", str(kernel), "--explain"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(f"{name}: runs"):
                os.killpg(process.pid, signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    image = kernel / "build" / "vmlinux"
    assert not image.exists() or name == "record"
    assert built(kernel)["outputs"]["vmlinux"] == expected  # its draft may have tables by now
    assert not list((kernel / "build").rglob("*.tmp"))


def test_failed_build_keeps_the_old_image(kernel: Path) -> None:
    built(kernel)
    image = kernel / "build" / "vmlinux"
    before = image.read_bytes()
    with (kernel / "serial.c").open("a") as file:
        file.write("void pv_undeclared(void); void f(void); void f(void) { pv_nowhere(); }\n")
    failed = buildplug("build", kernel)
    assert failed.returncode == 1
    assert "implicit declaration" in failed.stderr
    assert "compile failed" in one_line(failed.stderr)
    assert image.read_bytes() == before


def test_full_disk_is_one_line_and_keeps_the_old_image(kernel: Path) -> None:
    built(kernel)
    image = kernel / "build" / "vmlinux"
    before = image.read_bytes()
    os.utime(kernel / "main.c")
    limited = subprocess.run(
        [sys.executable, "-m", "buildplug", "build", kernel], capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000)),
    )  # fmt: skip
    assert limited.returncode == 1
    one_line(limited.stderr)
    assert image.read_bytes() == before
    built(kernel)
    assert image.read_bytes() == before


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


def test_nothing_is_written_outside_the_build_directory(kernel: Path) -> None:
    before = sorted(p for p in kernel.rglob("*"))
    built(kernel, cwd=kernel.parent)
    assert sorted(p for p in kernel.rglob("*") if not p.is_relative_to(kernel / "build")) == before
    assert sorted(kernel.parent.iterdir()) == [kernel]


def test_two_builds_at_once_do_not_mix(kernel: Path) -> None:
    command = [sys.executable, "-m", "buildplug", "build", str(kernel)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    build = kernel / "build"
    assert buildplug("verify", build / "vmlinux.draft", build / "vmlinux").returncode == 0


def flipped(kernel: Path, section: str) -> Path:
    """A copy of the built image with a bit in the middle of a section changed."""
    build = kernel / "build"
    where = Image(build / "vmlinux").section(section)
    data = bytearray((build / "vmlinux").read_bytes())
    data[where.offset + where.size // 2] ^= 4
    (build / "flipped").write_bytes(data)
    return build / "flipped"


@pytest.mark.parametrize(
    ("arch", "section"),
    [*(("x86_64", section) for section in (".text", ".rodata", ".bp_paravirt")), ("i386", ".bp_paravirt")],
)
def test_verify_notices_a_changed_bit(kernel: Path, arch: str, section: str) -> None:
    built(kernel, "--arch", arch, "--build-dir", kernel / "build")
    failed = buildplug("verify", kernel / "build" / "vmlinux.draft", flipped(kernel, section))
    assert failed.returncode == 1
    assert "expected" in one_line(failed.stderr)


def test_verify_of_an_image_without_table_says_so(kernel: Path, tmp_path: Path) -> None:
    built(kernel)
    draft = kernel / "build" / "vmlinux.draft"
    shutil.copy(draft, tmp_path / "stripped")
    subprocess.run(["objcopy", "--strip-symbol=bp_paravirt", tmp_path / "stripped"], check=False, capture_output=True)
    subprocess.run(["strip", tmp_path / "stripped"], check=True)
    failed = buildplug("verify", draft, tmp_path / "stripped")
    assert failed.returncode == 1
    assert "expected a table of a rule that ships, found none" in one_line(failed.stderr)


def test_apply_names_a_backend_that_is_missing(kernel: Path, tmp_path: Path) -> None:
    built(kernel)
    failed = buildplug("apply", kernel / "build" / "vmlinux", "--backend", "xen", "-o", tmp_path / "out")
    assert failed.returncode == 1
    assert "bp_paravirt_xen" in one_line(failed.stderr)
    assert not (tmp_path / "out").exists()


def test_random_build_id_is_refused(tmp_path: Path) -> None:
    kernel = copy_sample(tmp_path / "kernel")
    edit(kernel / "buildplug.toml", ("--build-id=none", "--build-id=uuid"))
    assert "expected a build-id of the content" in one_line(buildplug("build", kernel).stderr)


def test_wrong_usage_exits_with_2() -> None:
    assert buildplug("extract").returncode == 2


def test_extract_json_has_the_fields_that_it_promises(kernel: Path) -> None:
    built(kernel)
    done = buildplug("extract", kernel / "build" / "vmlinux", "--rule", "paravirt", "--json")
    result = json.loads(done.stdout)
    assert set(result) == {"entries", "ignored"}
    assert {frozenset(entry) for entry in result["entries"]} == {
        frozenset({"section", "offset", "address", "kind", "length", "symbol", "addend"})
    }
