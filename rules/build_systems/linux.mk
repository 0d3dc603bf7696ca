# Each make of `buildplug kbuild` reads this first (MAKEFILES): in place of Linux's command for its link, that of the environment.
override cmd_link_vmlinux = $(BUILDPLUG_LINK_COMMAND)
