# What each make of `buildplug kbuild` reads first (MAKEFILES). The link of Linux is then the command that the environment
# says, whatever scripts/Makefile.vmlinux does.
override cmd_link_vmlinux = $(BUILDPLUG_LINK_COMMAND)
