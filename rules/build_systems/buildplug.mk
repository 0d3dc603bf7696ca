# For GNU make: include $(shell buildplug path make)
#
# Before it, where they differ from these: BUILDPLUG_CONFIG, BUILDPLUG_ARCH if it is not the configuration's, and
# BUILDPLUG_DIR for the files that the kernel compiles in.
# Behind it: BUILDPLUG_SOURCES, which are to be compiled and linked last (with -I$(BUILDPLUG_DIR)), and
#
#	build/vmlinux: $(objects)
#		$(BUILDPLUG_LINK) -T kernel.lds $(objects)
#	-include build/vmlinux.d
BUILDPLUG ?= buildplug
BUILDPLUG_CONFIG ?= buildplug.toml
BUILDPLUG_ARCH ?=
BUILDPLUG_DIR ?= build/gen

# Each time, but it leaves a file alone that does not change.
BUILDPLUG_FILES := $(shell $(BUILDPLUG) runtime $(BUILDPLUG_DIR) --config $(BUILDPLUG_CONFIG) --arch=$(BUILDPLUG_ARCH))
ifneq ($(.SHELLSTATUS),0)
$(error buildplug runtime failed)
endif
BUILDPLUG_SOURCES := $(filter-out %.h,$(BUILDPLUG_FILES))

# The linker, with the output and a depfile beside it.
BUILDPLUG_LINK = $(BUILDPLUG) ld --config $(BUILDPLUG_CONFIG) --arch=$(BUILDPLUG_ARCH) --dependency-file=$@.d -o $@
