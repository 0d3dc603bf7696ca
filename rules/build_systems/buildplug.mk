# For GNU make: include $(shell buildplug path make)
#
# Before it, set what differs from the values below: BUILDPLUG_CONFIG, BUILDPLUG_ARCH if it is not the configuration's,
# and BUILDPLUG_DIR, the folder of the generated files.
# After it, compile BUILDPLUG_SOURCES (with -I$(BUILDPLUG_DIR)), link their objects last, and add
#
#	build/vmlinux: $(objects)
#		$(BUILDPLUG_LINK) -T kernel.lds $(objects)
#	-include build/vmlinux.d
BUILDPLUG ?= buildplug
BUILDPLUG_CONFIG ?= buildplug.toml
BUILDPLUG_ARCH ?=
BUILDPLUG_DIR ?= build/gen

# Runs each time, but does not touch files that do not change.
BUILDPLUG_FILES := $(shell $(BUILDPLUG) runtime $(BUILDPLUG_DIR) --config $(BUILDPLUG_CONFIG) --arch=$(BUILDPLUG_ARCH))
ifneq ($(.SHELLSTATUS),0)
$(error buildplug runtime failed)
endif
BUILDPLUG_SOURCES := $(filter-out %.h,$(BUILDPLUG_FILES))

# The link command, with the output and a depfile beside it.
BUILDPLUG_LINK = $(BUILDPLUG) ld --config $(BUILDPLUG_CONFIG) --arch=$(BUILDPLUG_ARCH) --dependency-file=$@.d -o $@
