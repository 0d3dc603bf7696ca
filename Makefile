# Two commands: `make demo` and `make test`. Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

demo: setup
	$(RUN) -m sample_kernel.demo

test: setup-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	clang-format --dry-run -Werror sample_kernel/*.[ch] sample_kernel/*/*.[ch] buildplug/native/*.[ch]
	$(RUN) -m pytest -n auto -m "not slow"

# Small kernels in the styles of those that nobody here wrote, each by its own Makefile; `make test` runs them, too.
test-kernels: setup-test
	$(RUN) -m pytest tests/kernel/test_foreign_kernels.py

# The tests with real Linux, and those that take many minutes: builds that version once into the cache folder (five minutes), then as `make test`.
# With ARCH=arm64 or riscv, and VERSION=6.12 or 7.3, those of a cross-built Linux only.
test-linux: VERSION ?= 6.1
test-linux: ARCH ?= x86_64
test-linux: setup-test
	BUILDPLUG_LINUX=$(VERSION) BUILDPLUG_LINUX_ARCH=$(ARCH) $(RUN) -m pytest $(if $(filter x86_64,$(ARCH)),-m "linux or slow",-m linux -k $(ARCH)-$(VERSION) tests/linux)

# The same with all versions and architectures whose sources there are: builds each that is not in the cache, and tests once.
test-linux-all: setup-test
	-$(RUN) -m tests.linux_image 6.1
	-$(RUN) -m tests.linux_image 6.12
	-$(RUN) -m tests.linux_image 7.3
	-$(RUN) -m tests.linux_cross arm64 6.12
	-$(RUN) -m tests.linux_cross arm64 7.3
	-$(RUN) -m tests.linux_cross riscv 6.12
	-$(RUN) -m tests.linux_cross riscv 7.3
	$(RUN) -m pytest -n auto --dist loadfile -m "linux or slow"

# All figures; those beside Linux's own kallsyms and link stage need what test-linux builds.
bench: setup-test
	@.ci/packages valgrind=valgrind
	$(RUN) -m bench

# Mutated images, configurations, records and tables for so many minutes; the inputs of faults are kept in fuzz.found.
fuzz: MINUTES ?= 5
fuzz: setup-test
	$(RUN) -m tests.fuzz $(MINUTES)

# So many builds, links, rebuilds and kbuilds killed at random moments; the folders of faults are kept in kills.found.
kills: NUMBER ?= 100
kills: setup-test
	$(RUN) -m tests.fuzz.kills $(NUMBER)

setup: $(VENV)/ready
	@.ci/packages gcc=gcc ld=binutils qemu-system-x86_64=qemu-system-x86
	-@.ci/packages riscv64-linux-gnu-gcc=gcc-riscv64-linux-gnu riscv64-linux-gnu-ld=binutils-riscv64-linux-gnu \
		qemu-system-riscv64=qemu-system-riscv,qemu-system-misc qemu-system-aarch64=qemu-system-arm \
		aarch64-linux-gnu-gcc=gcc-aarch64-linux-gnu aarch64-linux-gnu-ld=binutils-aarch64-linux-gnu

setup-test: setup
	@.ci/packages g++=g++ ld.gold=binutils-gold,binutils ld.lld=lld ld.lld-19=lld-19 mold=mold clang=clang \
		clang-format=clang-format ccache=ccache chromium=chromium distcc=distcc faketime=faketime \
		disorderfs=disorderfs fusermount=fuse reprotest=reprotest diffoscope=diffoscope-minimal \
		locale-gen=locales cpio=cpio make=make cargo=cargo rustc=rustc \
		clippy-driver=rust-clippy clang-19=clang-19 llvm-nm-19=llvm-19 qemu-arm=qemu-user arm-linux-gnueabi-ld=binutils-arm-linux-gnueabi \
		powerpc64-linux-gnu-ld=binutils-powerpc64-linux-gnu s390x-linux-gnu-ld=binutils-s390x-linux-gnu \
		mips-linux-gnu-ld=binutils-mips-linux-gnu
	@.ci/packages '/boot/xen-*-amd64.gz=xen-hypervisor-4.17-amd64,xen-hypervisor-4.20-amd64'

$(VENV)/ready: pyproject.toml buildplug/native/hatch_build.py $(wildcard buildplug/native/*.[ch])
	@.ci/packages gcc=gcc $(PYTHON)=python3 $(PYTHON):ensurepip=python3-venv
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

clean:
	rm -rf $(VENV) sample_kernel/build

.PHONY: demo test test-kernels test-linux test-linux-all bench fuzz kills setup setup-test clean
