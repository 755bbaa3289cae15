# r2fs. What a person types:
#   make          build/r2fs (the command) and build/r2sim (an S3 server for tests), without a warning
#   make unit     the unit tests
#   make check-layers lint   includes that go up, and what the linters say
#   make fuzz     the fuzzers, by clang, into build/fuzz/test/fuzz
#   make install  with DESTDIR= and PREFIX=
# Variables: CC (gcc or clang), B (where everything goes), SAN (address,undefined or thread: sanitizers, in a B of their own),
# CFLAGS and LDFLAGS for what a packager adds, V=1 to see the commands.

VERSION := 0.1
CC      := gcc
comma   := ,
B       := build$(if $(SAN),/san-$(subst $(comma),-,$(SAN)))
PREFIX  := /usr/local
BINDIR   = $(PREFIX)/bin
MANDIR   = $(PREFIX)/share/man
# mount(8) looks for helpers here and nowhere else, whatever PREFIX is.
SBINDIR := /sbin

# Sources are found by their place. A new file needs no line here.
LIB_s3    := $(wildcard s3/base/*.c s3/*.c)
LIB_cache := $(wildcard cache/*.c)
LIB_fs    := $(wildcard fs/*.c)
# The two programs: the file with main(), and the rest as libraries, so that unit tests can call it.
MAIN_r2fs  := $(wildcard tools/main.c tools/r2fs.c)
LIB_tools  := $(filter-out $(MAIN_r2fs),$(wildcard tools/*.c))
MAIN_r2sim := $(wildcard tools/r2sim/main.c tools/r2sim/r2sim.c)
LIB_r2sim  := $(filter-out $(MAIN_r2sim),$(wildcard tools/r2sim/*.c))
# Each test/unit/test_*.c is a program, and so is each test/server/*.c, which needs a server; what they share is a library.
UNIT      := $(wildcard test/unit/test_*.c)
SERVER    := $(wildcard test/server/*.c)
LIB_test  := $(wildcard test/lib/*.c test/unit/lib*.c)
FUZZ      := $(wildcard test/fuzz/*.c)
MAN       := $(wildcard tools/*.[158])

# Packages. -isystem, so that their headers are not held to our warnings.
PACKAGES     := fuse3 libcurl libssl libcrypto libxml-2.0 sqlite3 jansson inih
SIM_PACKAGES := libmicrohttpd libcrypto libxml-2.0 jansson zlib
ifeq ($(shell pkg-config --exists libsystemd && echo yes),yes)
PACKAGES += libsystemd
DEFINES  += -DHAVE_SYSTEMD
endif
pc = $(shell pkg-config --print-errors $(1) $(2))
PKG_CFLAGS := $(sort $(patsubst -I%,-isystem%,$(subst -isystem ,-isystem,$(call pc,--cflags,$(PACKAGES) $(SIM_PACKAGES)))))
PKG_LIBS   := $(call pc,--libs,$(PACKAGES))
# libunistring has no pkg-config file.
SIM_LIBS   := $(call pc,--libs,$(SIM_PACKAGES)) -lunistring
TEST_LIBS   = $(call pc,--libs,cmocka)

# _GNU_SOURCE here, so that no file defines it. Every include is written from the root of the tree.
DEFINES += -I. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DR2FS_VERSION='"$(VERSION)"'
# -Wconversion because sizes and offsets cross between int, size_t and off_t everywhere; -Wvla since a stack must have a stated size.
WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 -Wundef -Wpointer-arith -Wwrite-strings -Werror
ifneq ($(findstring clang,$(CC)),)
# The lock annotations of s3/base/lock.h are checked by clang alone.
WARN += -Wthread-safety
endif
OPT := -O2 -g -fno-strict-aliasing -fstack-protector-strong
ifeq ($(SAN),)
# Fortified calls hide overflows from the sanitizers, so only without them.
OPT += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-clash-protection
else
OPT += -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
LINK_SAN := -fsanitize=$(SAN)
endif
COMPILE = $(CC) -std=gnu17 $(OPT) $(WARN) $(DEFINES) $(PKG_CFLAGS) -pthread -fPIE $(CPPFLAGS) $(CFLAGS)
# --as-needed: the program names only the libraries it calls. relro, now: the jump tables are read-only once it runs.
LINK    = $(CC) -pthread -pie $(LINK_SAN) $(LDFLAGS) -Wl,--as-needed -Wl,-z,relro,-z,now

say       = $(if $(V),,@echo "$(1) $@";)
obj       = $(patsubst %.c,$(B)/obj/%.o,$(1))
ALL_SRC  := $(foreach l,s3 cache fs tools r2sim test,$(LIB_$(l))) $(MAIN_r2fs) $(MAIN_r2sim) $(UNIT) $(SERVER)
# In the order of the layers: calls go down only, and the linker would notice one that does not.
LIBS     := $(foreach l,tools fs cache s3,$(B)/lib$(l).a)
UNIT_BIN := $(patsubst %.c,$(B)/%,$(UNIT))
SERVER_BIN := $(patsubst %.c,$(B)/%,$(SERVER))
FUZZ_BIN := $(patsubst %.c,$(B)/%,$(FUZZ))

all: $(if $(MAIN_r2fs),$(B)/r2fs) $(if $(MAIN_r2sim),$(B)/r2sim)

$(B)/r2fs: $(call obj,$(MAIN_r2fs)) $(LIBS)
	$(call say,LD) $(LINK) -o $@ $^ $(PKG_LIBS)
# The simulator shares no code with what it tests.
$(B)/r2sim: $(call obj,$(MAIN_r2sim)) $(B)/libr2sim.a
	$(call say,LD) $(LINK) -o $@ $^ $(SIM_LIBS)
$(UNIT_BIN) $(SERVER_BIN): $(B)/%: $(B)/obj/%.o $(B)/libtest.a $(LIBS) $(B)/libr2sim.a
	@mkdir -p $(@D)
	$(call say,LD) $(LINK) -o $@ $^ $(TEST_LIBS) $(PKG_LIBS) $(SIM_LIBS)
$(FUZZ_BIN): $(B)/%: $(B)/obj/%.o $(LIBS)
	@mkdir -p $(@D)
	$(call say,LD) $(LINK) -fsanitize=fuzzer -o $@ $^ $(PKG_LIBS)

# A folder counts too: a source that was removed must leave the library.
define library
$(B)/lib$(1).a: $(call obj,$(LIB_$(1))) $(sort $(dir $(LIB_$(1))))
	@rm -f $$@ && mkdir -p $$(@D)
	$$(call say,AR) ar rcs $$@ $$(filter %.o,$$^)
endef
$(foreach l,s3 cache fs tools r2sim test,$(eval $(call library,$(l))))

$(B)/obj/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,CC) $(COMPILE) -MD -MP -c -o $@ $<
# Another compiler or other flags rebuild everything; the same ones leave the file, and the objects, alone.
$(B)/flags: FORCE
	@mkdir -p $(@D); printf '%s\n' '$(subst ','\'',$(COMPILE))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(COMPILE))' >$@
-include $(patsubst %.c,$(B)/obj/%.d,$(ALL_SRC) $(FUZZ))

# Unit tests speak TAP (one cmocka group a program, since TAP has one plan). test/tap ends one that hangs.
unit-build: $(UNIT_BIN)
unit: unit-build
	$(if $(UNIT_BIN),CMOCKA_MESSAGE_OUTPUT=TAP prove -j2 $(PROVEFLAGS) --exec test/tap $(UNIT_BIN),@echo "no unit tests")

server-build: $(SERVER_BIN)

fuzz:
	$(MAKE) B=build/fuzz CC=clang SAN=fuzzer-no-link,address,undefined fuzz-build
fuzz-build: $(FUZZ_BIN)

check-layers: all
	scripts/check-layers $(B)
lint: all
	scripts/lint $(B)

install: all
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(SBINDIR)
	install -m 755 $(B)/r2fs $(DESTDIR)$(BINDIR)/r2fs
	for l in mount.r2fs mount.fuse.r2fs umount.fuse.r2fs; do ln -sf $(BINDIR)/r2fs $(DESTDIR)$(SBINDIR)/$$l || exit; done
	for m in $(MAN); do install -D -m 644 $$m $(DESTDIR)$(MANDIR)/man$${m##*.}/$${m##*/} || exit; done

clean:
	rm -rf build

.PHONY: all unit unit-build server-build fuzz fuzz-build check-layers lint  install clean FORCE
.DELETE_ON_ERROR:
.SECONDARY:
