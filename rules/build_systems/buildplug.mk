# For GNU make: include $(shell buildplug path make)
#
# Before it, set what differs from the values below: BUILDPLUG_CONFIG, BUILDPLUG_ARCH if it is not the configuration's,
# and BUILDPLUG_DIR, the folder of the generated files. It adds that folder to the include path in CPPFLAGS.
# After it, compile BUILDPLUG_SOURCES, or have make's own rules make BUILDPLUG_OBJECTS of them, link these last, and add
#
#	build/vmlinux: $(objects)
#		$(BUILDPLUG_LINK) -T kernel.lds $(objects)
#	-include build/vmlinux.d
#
# If the compiler links, give it $(BUILDPLUG_DRIVER) instead: $(CC) $(BUILDPLUG_DRIVER) -T kernel.lds $(objects) -o $@
BUILDPLUG ?= buildplug
BUILDPLUG_CONFIG ?= buildplug.toml
BUILDPLUG_ARCH ?=
BUILDPLUG_DIR ?= build/gen
BUILDPLUG_GOAL := $(.DEFAULT_GOAL)

# Names the generated files. It is made again, with them, when one of its inputs changes, but not to clean.
BUILDPLUG_MADE := $(BUILDPLUG_DIR)/buildplug$(addprefix -,$(BUILDPLUG_ARCH)).mk
BUILDPLUG_ARGUMENTS := --config $(BUILDPLUG_CONFIG) --arch=$(BUILDPLUG_ARCH)
BUILDPLUG_RUNTIME := $(BUILDPLUG) runtime $(BUILDPLUG_DIR) $(BUILDPLUG_ARGUMENTS) --makefile $(BUILDPLUG_MADE)
ifeq ($(filter-out %clean clean% mrproper,$(or $(MAKECMDGOALS),all)),)
-include $(BUILDPLUG_MADE)
else
include $(BUILDPLUG_MADE)
$(BUILDPLUG_MADE):
	@$(BUILDPLUG) ld $(BUILDPLUG_ARGUMENTS) --into $(BUILDPLUG_DIR)/bin
	@$(BUILDPLUG_RUNTIME) >/dev/null
$(BUILDPLUG_SOURCES): # one that is gone
	@$(BUILDPLUG_RUNTIME) >/dev/null
endif
.DEFAULT_GOAL := $(BUILDPLUG_GOAL)

CPPFLAGS += -I$(BUILDPLUG_DIR)

# The link command, with the output and a depfile beside it.
BUILDPLUG_LINK = $(BUILDPLUG) ld $(BUILDPLUG_ARGUMENTS) --dependency-file=$@.d -o $@
# For the compiler as linker: where it finds the linker, and the depfile.
BUILDPLUG_DRIVER = -B$(BUILDPLUG_DIR)/bin -Wl,--dependency-file=$@.d
