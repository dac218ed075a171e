# Makefile -- the only build description.
#
# `make help` lists the targets.  What may be set: CC CFLAGS LDFLAGS PREFIX
# DESTDIR BINDIR LIBDIR
# LUADIR LUA LUA_PC LUA_INCDIR LUA_LIBDIR LUA_LIB, BUILD (where the output goes)
# and DEPS=no to install no packages.

PREFIX ?= /usr/local
BUILD ?= build
CFLAGS ?= -O2 -g
LUA ?= lua5.4
CLANG ?= clang

export DEPS

# A flavour is a build of its own: `make FLAVOUR=asan` goes to build/asan/.
FLAVOUR ?=
OUT := $(BUILD)$(FLAVOUR:%=/%)

FLAGS.debug = -O0 -g3
FLAGS.fault = -DMP_FAULTS
FLAGS.ubsan = -O1 -fsanitize=undefined -fno-sanitize-recover=undefined
FLAGS.asan = $(FLAGS.ubsan) -fsanitize=address -fno-omit-frame-pointer
FLAGS.msan = -O1 -fsanitize=memory -fsanitize-memory-track-origins \
  -fno-omit-frame-pointer -fsanitize=fuzzer-no-link
FLAGS.tsan = -O1 -fsanitize=thread
FLAGS.explore = -include spec/explore/sim.h
FLAGS.cov = -O0 --coverage -fprofile-update=atomic -DMP_FAULTS \
  -include spec/coverage.h
FLAGS.cov-explore = $(FLAGS.cov) $(FLAGS.explore)
FLAGS.fuzz = $(FLAGS.asan) -fsanitize=fuzzer-no-link
ifneq ($(FLAVOUR),)
  ifndef FLAGS.$(FLAVOUR)
    $(error unknown FLAVOUR '$(FLAVOUR)')
  endif
endif

# Where Lua is.  Asked for only when a recipe needs it, and once: `deps` may
# have had to install it first.  One that is named by LUA_INCDIR alone (as
# luarocks does, which gives an empty LUA_LIBDIR) has its library nearby; no .pc
# file speaks of it, unless LUA_PC says which.
lazy = $(eval override $1 := $(shell $2))$($1)
unset = $(if $(strip $($1)),,yes)
ifeq ($(call unset,LUA_PC)$(call unset,LUA_INCDIR),yesyes)
  override LUA_PC = $(call lazy,LUA_PC,\
    for p in lua5.4 lua-5.4 lua54 lua; do \
      pkg-config --exists "$$p >= 5.4 $$p < 5.5" && echo $$p && break; done)
endif
ifeq ($(call unset,LUA_LIBDIR),yes)
  ifeq ($(call unset,LUA_INCDIR),yes)
    override LUA_LIBDIR = $(call lazy,LUA_LIBDIR,\
      pkg-config --variable=libdir $(LUA_PC))
  else
    override LUA_LIBDIR = $(call lazy,LUA_LIBDIR,\
      for d in $(LUA_INCDIR)/../lib $(LUA_INCDIR)/../../lib \
        $(LUA_INCDIR)/../../lib/*-linux-*; do \
        ls $$d/liblua*.* >/dev/null 2>&1 && realpath $$d && break; done)
  endif
endif
ifeq ($(call unset,LUA_INCDIR),yes)
  override LUA_INCDIR = $(call lazy,LUA_INCDIR,\
    set -- $$(pkg-config --cflags-only-I --keep-system-cflags $(LUA_PC)); \
    echo $${1#-I})
endif
ifeq ($(call unset,LUA_LIB),yes)
  override LUA_LIB = $(call lazy,LUA_LIB,\
    cd $(LUA_LIBDIR) && for n in $(LUA_PC) lua5.4 lua-5.4 lua54 lua; do \
      for f in lib$$n.a lib$$n.so; do \
        test -e $$f && echo $(LUA_LIBDIR)/$$f && exit; done; done)
endif

WARN = -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror
COMPILE = $(CC) -std=gnu11 -D_GNU_SOURCE $(CFLAGS) $(FLAGS.$(FLAVOUR)) $(WARN) \
  -fPIC -fno-plt -fvisibility=hidden -pthread -MMD -MP -Iruntime/core
LUA_H = -isystem $(LUA_INCDIR)
LINK = $(CC) $(CFLAGS) $(FLAGS.$(FLAVOUR)) $(LDFLAGS) -pthread
# A shared Lua must be found again where it was found.
, := ,
LINK_LUA = $(LUA_LIB) \
  $(if $(filter %.so,$(LUA_LIB)),-Wl$(,)-rpath$(,)$(LUA_LIBDIR)) -lm -ldl
# The whole of Lua, each symbol to be seen: C modules look for them here.
HOST_LUA = -Wl,-E -Wl,--whole-archive $(LUA_LIB) -Wl,--no-whole-archive

core_src := $(wildcard runtime/core/*.c)
bind_src := $(wildcard runtime/bind/*.c)
cmd_src := $(wildcard runtime/cmd/*.c)
test_src := $(wildcard spec/core/*_test.c)
fuzz_src := $(wildcard spec/fuzz/*_fuzz.c)
bench_src := $(wildcard spec/bench/floor/*.c)
modules := $(patsubst lua/%,%,$(filter-out lua/meta/%,\
  $(sort $(shell find lua -name '*.lua'))))

obj = $(patsubst runtime/%.c,$(OUT)/obj/%.o,$1)
core_obj := $(call obj,$(core_src))
bind_obj := $(call obj,$(bind_src))
cmd_obj := $(call obj,$(cmd_src))
embed_obj := $(OUT)/obj/embed/preload.o $(OUT)/obj/embed/modules.o
tests := $(patsubst spec/core/%.c,$(OUT)/test/%,$(test_src))
fault_tests := $(patsubst spec/fault/%.c,$(OUT)/fault/%,\
  $(wildcard spec/fault/*_test.c))
embed_tests := $(patsubst spec/embed/%.c,$(OUT)/host/%,\
  $(wildcard spec/embed/*_test.c))
example_host := $(OUT)/host/example
example_c := $(patsubst examples/c/%.c,$(OUT)/host/%,$(wildcard examples/c/*.c))
hosts := $(embed_tests) $(example_host) $(example_c)
fuzzers := $(patsubst spec/fuzz/%.c,$(OUT)/fuzz/%,$(fuzz_src))
ifdef FUZZERS
  fuzzers := $(FUZZERS:%=$(OUT)/fuzz/%_fuzz)
endif
bench_obj := $(patsubst spec/bench/floor/%.c,$(OUT)/obj/floor/%.o,$(bench_src))
floor := $(OUT)/bench/floor

core_so := $(OUT)/lib/mp/core.so
luamp := $(OUT)/bin/luamp
library := $(OUT)/libluamp.a
products := $(core_so) $(luamp) $(library)

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all debug run test check check-core check-lua embed rock examples \
  stubs doc dist amalgam musl \
  fault faults fault-tests coverage explorer explore stress soak mutate \
  asan ubsan tsan msan run-msan valgrind fuzz bench bench-quick bench-curves \
  lint layers fmt install \
  clean deps deps-test help suites run-fuzz FORCE

all: $(products) ## build the module, the library and the command

debug: | deps ## the same without optimisation, in build/debug/
	@$(MAKE) DEPS=no FLAVOUR=debug all

##
## Building
##

# Objects are stale when the command that made them changes, too.
$(OUT)/flags: FORCE | deps
	@mkdir -p $(@D)
	@echo '$(COMPILE) $(LUA_H) $(LINK) $(LUA_LIB)' | cmp -s - $@ || \
	  echo '$(COMPILE) $(LUA_H) $(LINK) $(LUA_LIB)' > $@

$(core_obj): $(OUT)/obj/%.o: runtime/%.c $(OUT)/flags
	@mkdir -p $(@D)
	$(COMPILE) -c -o $@ $<

$(bind_obj): $(OUT)/obj/%.o: runtime/%.c $(OUT)/flags
	@mkdir -p $(@D)
	$(COMPILE) -Iruntime/bind -Iruntime/include $(LUA_H) -c -o $@ $<

$(cmd_obj) $(OUT)/obj/embed/preload.o: $(OUT)/obj/%.o: runtime/%.c $(OUT)/flags
	@mkdir -p $(@D)
	$(COMPILE) -Iruntime/include $(LUA_H) -c -o $@ $<

# The Lua modules, compiled and written as C.
$(OUT)/embed: runtime/embed/embed.c $(OUT)/flags
	$(CC) -std=gnu11 $(CFLAGS) $(filter %memory,$(FLAGS.$(FLAVOUR))) $(WARN) \
	  $(LUA_H) -o $@ $< $(LINK_LUA)

$(OUT)/modules: FORCE
	@mkdir -p $(@D)
	@echo '$(modules)' | cmp -s - $@ || echo '$(modules)' > $@

$(OUT)/modules.c: $(OUT)/embed $(OUT)/modules $(modules:%=lua/%)
	$(OUT)/embed lua $(modules) > $@

$(OUT)/obj/embed/modules.o: $(OUT)/modules.c runtime/embed/embed.h
	@mkdir -p $(@D)
	$(COMPILE) -Iruntime/embed -c -o $@ $<

# Never unloaded: threads of ours may still be in it when a state closes.
# Its own symbols first: a host may have a core of its own, as luamp does.
$(core_so): $(core_obj) $(bind_obj) $(embed_obj)
	@mkdir -p $(@D)
	$(LINK) -shared -Wl,-z,nodelete,-z,now,-Bsymbolic -o $@ $^ -lm

$(library): $(core_obj) $(bind_obj) $(embed_obj)
	@rm -f $@
	$(AR) rcs $@ $^

$(luamp): $(cmd_obj) $(library) runtime/cmd/luamp.ld
	@mkdir -p $(@D)
	$(LINK) -Wl,-z,now,-z,noseparate-code -o $@ $(HOST_LUA) $(cmd_obj) \
	  $(library) $(LINK_LUA) \
	  -Wl,-z,max-page-size=0x10000,-T,runtime/cmd/luamp.ld

$(fault_tests): $(OUT)/fault/%: spec/fault/%.c $(core_obj) $(OUT)/flags
	@mkdir -p $(@D)
	$(COMPILE) -Ispec/core $(LDFLAGS) -o $@ $< $(core_obj) -lm

$(tests): $(OUT)/test/%: spec/core/%.c $(core_obj) $(OUT)/flags
	@mkdir -p $(@D)
	$(COMPILE) $(LDFLAGS) -o $@ $< $(core_obj) -lm

# What a test puts before a function of the core's.
$(OUT)/test/alloc_test: LDFLAGS += -Wl,--wrap=mp__alloc

# Programs with luamp in them, Lua and all.
$(embed_tests): $(OUT)/host/%: spec/embed/%.c
$(example_host): examples/embed/host.c
$(example_c): $(OUT)/host/%: examples/c/%.c
$(hosts): $(library) $(OUT)/flags
	@mkdir -p $(@D)
	$(COMPILE) -Iruntime/include $(LUA_H) $(LDFLAGS) -o $@ \
	  $(filter %.c,$^) $(library) $(LINK_LUA)

# The core with a scheduling point before each atomic operation, and what it
# asks the kernel taken by the explorer.
explorer := $(OUT)/explore
WRAPPED = mp__futex_wait mp__futex_waitv mp__futex_wake mp_now \
  mp__sys_affinity mp__sys_procstat mp__sys_peek_fd mp__lock_drop
EXPLORER = $(COMPILE) $(LDFLAGS) $(WRAPPED:%=-Wl,--wrap=%)
$(OUT)/link: Makefile $(OUT)/flags
	@echo 'exec $(EXPLORER) "$$@"' > $@

$(explorer): $(wildcard spec/explore/*.[ch]) $(core_obj) $(OUT)/link
	sh $(OUT)/link -o $@ $(wildcard spec/explore/*.c) $(core_obj) -lm -ldl

# The plain C programs that the bench compares with; nothing of ours in them.
$(bench_obj): $(OUT)/obj/floor/%.o: spec/bench/floor/%.c $(OUT)/flags
	@mkdir -p $(@D)
	$(COMPILE) $(LUA_H) -c -o $@ $<

$(floor): $(bench_obj)
	@mkdir -p $(@D)
	$(LINK) -o $@ $^ $(LINK_LUA)

# Those that damage the memory have what would end, start or hold up a process
# taken by spec/fuzz/damage.h.
DAMAGE_WRAPPED = mp__futex_wait mp__futex_waitv mp__sys_damaged \
  mp__sys_kill_self mp__sys_exit mp_exit mp__sys_clone mp__sys_pidfd_signal \
  mp__sys_tgkill mp__sys_wait mp__shm_unlink
$(OUT)/fuzz/damage_fuzz $(OUT)/fuzz/attach_fuzz $(OUT)/fuzz/serve_fuzz: \
  private WRAPS = $(DAMAGE_WRAPPED:%=-Wl,--wrap=%)
$(fuzzers): $(OUT)/fuzz/%: spec/fuzz/%.c $(library)
	@mkdir -p $(@D)
	$(COMPILE) -Iruntime/include $(LUA_H) -fsanitize=fuzzer $(LDFLAGS) \
	  $(WRAPS) -o $@ $< $(library) $(LINK_LUA)

-include $(wildcard $(OUT)/obj/*/*.d $(OUT)/*/*.d)

##
## Running
##

suites = OUT=$(OUT) LUA=$(LUA) $(LUA) spec/run.lua

run: all ## show it at work: examples/wordfreq.lua on real text
	$(luamp) examples/wordfreq.lua $(ARGS)

test: all $(tests) $(hosts) explorer | deps-test ## every suite; "N passed, N failed"
	@$(suites) share rock dist explore examples core luamp lua layers stubs \
	  promises embed soak install

check: all $(tests) $(hosts) | deps-test ## before each commit: quick suites
	@$(suites) lint layers stubs promises core embed luamp lua examples

check-core: $(tests) ## the C tests
	@$(suites) core

check-lua: all | deps-test ## the specs, under luamp and under lua5.4
	@$(suites) luamp lua

embed: $(hosts) ## luamp in programs of C
	@$(suites) embed

rock: | deps-test ## build, install and run specs through luarocks
	@$(suites) rock

examples: all $(example_host) $(example_c) | deps-test ## every example must run and succeed
	@$(suites) examples

fault: | deps-test ## allocations that fail, processes killed at every point
	@$(MAKE) DEPS=no FLAVOUR=fault SUITES=fault suites

# ID='A D3' chooses.
faults: all $(tests) $(hosts) explorer | deps-test ## the 127 faults: promise, tests, outcome
	@$(MAKE) -s DEPS=no FLAVOUR=fault fault-tests
	@OUT=$(OUT) $(luamp) spec/fault/faults.lua $(ID)

fault-tests: all $(fault_tests)

explorer: FORCE | deps
	@$(MAKE) DEPS=no FLAVOUR=explore $(BUILD)/explore/explore >/dev/null

EXPLORE_SECONDS ?= 600
explore: explorer ## schedules and deaths, as many as there is time for
	@EXPLORE_SECONDS=$(EXPLORE_SECONDS) $(suites) explore mutants

# FILES='queue lock' chooses; EVERY=7 takes one in seven.
mutate: all explorer | deps-test ## mistakes put into the core: do the tests notice?
	@OUT=$(OUT) COMPILE='$(COMPILE)' EXPLORER='sh $(BUILD)/explore/link' \
	  $(LUA) spec/mutate.lua $(FILES)

# SEED=n repeats the choices of a run (not what the kernel makes of them).
soak: all | deps-test ## kills and stops at random, for TIME=60 seconds each
	@SOAK=$(or $(TIME),60) SEED=$(SEED) LUAMP=$(luamp) $(luamp) \
	  $$(command -v busted) -o plainTerminal spec/soak_spec.lua
	@TIME=$(or $(TIME),60) $(suites) soak

# FILES='queue lock' lists their lines and branches that have not run.
coverage: | deps-test ## gcov: lines and branches of the core that ran
	@find $(BUILD)/cov $(BUILD)/cov-explore -name '*.gcda' -delete 2>/dev/null; \
	  SPEC_LIMIT=60 TEST_SLOWER=6 $(MAKE) -s DEPS=no FLAVOUR=cov \
	  SUITES='core embed luamp fault' suites
	@$(MAKE) -s DEPS=no FLAVOUR=cov-explore $(BUILD)/cov-explore/explore
	@$(BUILD)/cov-explore/explore --seconds=60
	@OUT=$(BUILD)/cov $(LUA) spec/coverage.lua $(FILES)

stress: all $(tests) | deps-test ## long runs under load
	@TIME=$(or $(TIME),60) $(suites) stress

asan: | deps-test ## C tests and specs with address and undefined sanitizers
	@$(MAKE) DEPS=no FLAVOUR=asan SUITES='core luamp' suites

ubsan: | deps-test ## the same with the undefined-behaviour sanitizer alone
	@$(MAKE) DEPS=no FLAVOUR=ubsan SUITES='core luamp' suites

tsan: | deps ## C tests with the thread sanitizer
	@$(MAKE) DEPS=no FLAVOUR=tsan SUITES=core suites

# The decoders, by their corpora and specs; what Lua modules of C do is not seen.
msan: | deps-test ## decoders with the memory sanitizer: LUA_SOURCE=dir with Lua's src/
	@test -n '$(LUA_SOURCE)' || { sed -n '2,6s/^# //p' .ci/msan; exit 2; }
	@.ci/deps fuzz
	@.ci/msan $(LUA_SOURCE) $(BUILD)/msan-lua TIME=$(TIME) \
	  FUZZERS='decode pickle value frame' run-fuzz run-msan

run-msan: $(luamp)
	@$(suites) decoders

# What valgrind itself lacks, preloaded.
$(OUT)/memcheck.so: spec/core/memcheck.c $(OUT)/flags
	$(COMPILE) -shared -o $@ $< -ldl

valgrind: $(tests) $(OUT)/memcheck.so | deps ## C tests under memcheck
	@.ci/deps valgrind
	@$(suites) valgrind

suites: all $(tests) $(hosts) \
  $(if $(filter fault cov,$(FLAVOUR)),$(fault_tests))
	@$(suites) $(SUITES)

TIME ?= 60
# FUZZERS='decode frame' chooses.
fuzz: | deps ## hostile bytes for whatever reads any, TIME=60 seconds each
	@.ci/deps fuzz
	@$(MAKE) DEPS=no FLAVOUR=fuzz CC=$(CLANG) TIME=$(TIME) run-fuzz

# What was found to be new stays in build/; the seeds are spec/fuzz/corpus/.
run-fuzz: $(fuzzers)
	@test -n '$(fuzzers)' || { echo 'spec/fuzz: no *_fuzz.c'; exit 1; }
	@for f in $(fuzzers); do n=$${f##*/}; mkdir -p $$f.corpus; \
	  echo "== $$n"; $$f -max_total_time=$(TIME) -timeout=10 \
	  -print_final_stats=1 \
	  -artifact_prefix=$$f.crash- $$f.corpus spec/fuzz/corpus/$${n%_fuzz} \
	  2>&1 | grep -E 'ERROR|SUMMARY|crash|Test unit|number_of_exec|Done' || \
	  exit 1; ls $$f.crash-* 2>/dev/null && exit 1; done; \
	  echo "$(words $(fuzzers)) passed, 0 failed"

bench: all $(floor) | deps-test ## the figures, beside python3 and plain C
	$(luamp) spec/bench/run.lua $(ARGS)

bench-quick: all $(floor) | deps-test ## the same, less exact
	$(luamp) spec/bench/run.lua --quick $(ARGS)

bench-curves: all | deps-test ## how costs grow: ARGS=--full for 5,000 children
	$(luamp) spec/bench/run.lua --curves $(ARGS)

##
## Keeping the sources in order
##

lint: | deps-test ## luacheck and clang-format
	@$(suites) lint

layers: all ## who may know what: see spec/layers.sh
	@$(suites) layers

stubs: all ## every public name has a stub, documentation and a spec
	@$(suites) stubs

doc: all ## the reference as Markdown, from lua/meta, in build/doc/
	@mkdir -p $(OUT)/doc
	$(luamp) spec/stub/doc.lua > $(OUT)/doc/reference.md

fmt: | deps-test ## format the C sources
	clang-format -i $$(git ls-files -co --exclude-standard '*.[ch]')

musl: | deps-test ## build with musl, C tests and specs: LUA_SOURCE=dir with Lua's src/
	@test -n '$(LUA_SOURCE)' || { sed -n '2,8s/^# //p' .ci/musl; exit 2; }
	@.ci/deps musl
	@.ci/musl $(LUA_SOURCE) $(BUILD)/musl all suites SUITES="core embed luamp"

##
## Releasing
##

release := luamp-$(VERSION)

dist: ## the release archive, of what is committed: build/luamp-VERSION.tar.gz
	@mkdir -p $(BUILD)
	git archive --prefix=$(release)/ HEAD | gzip -n > $(BUILD)/$(release).tar.gz

# The same for every Lua 5.4: the modules are in it as sources.
amalgam: all ## luamp.c and luamp.h, to be compiled into a host, in build/amalgam/
	@mkdir -p $(OUT)/amalgam
	$(OUT)/embed -s lua $(modules) > $(OUT)/amalgam/modules.c
	$(luamp) runtime/embed/amalgam.lua $(OUT)/amalgam $(core_src) $(bind_src) \
	  runtime/embed/preload.c $(OUT)/amalgam/modules.c

##
## Installing
##

BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib/lua/5.4
LUADIR ?= $(PREFIX)/share/lua/5.4
dest = $(DESTDIR)$(PREFIX)

# How a host finds Lua: by its own .pc file, or the library that we have used.
pc_lua = $(if $(LUA_PC),s|@LUA@|$(LUA_PC)|; s| @LUA_LIB@||,\
  /^Requires/d; s|@LUA_LIB@|$(LINK_LUA)|; s|^Cflags:|& -I$(LUA_INCDIR)|)

install: all ## into PREFIX=/usr/local, below DESTDIR if given
	install -d $(dest)/include $(dest)/lib/pkgconfig
	install -D $(luamp) $(DESTDIR)$(BINDIR)/luamp
	install -D $(core_so) $(DESTDIR)$(LIBDIR)/mp/core.so
	for m in $(modules); do \
	  install -Dm 644 lua/$$m $(DESTDIR)$(LUADIR)/$$m || exit 1; done
	install -m 644 $(library) $(dest)/lib/
	sed 's|@VERSION@|$(VERSION)|' runtime/cmd/luamp.1 | \
	  install -Dm 644 /dev/stdin $(dest)/share/man/man1/luamp.1
	install -Dm 644 runtime/cmd/luamp.bash \
	  $(dest)/share/bash-completion/completions/luamp
	install -Dm 644 runtime/cmd/_luamp \
	  $(dest)/share/zsh/site-functions/_luamp
	install -m 644 runtime/include/*.h runtime/core/mp.h $(dest)/include/
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|; $(pc_lua)' \
	  runtime/embed/luamp.pc.in > $(dest)/lib/pkgconfig/luamp.pc

VERSION = $(shell sed -n 's/.*MP_VERSION "\(.*\)"/\1/p' runtime/core/mp.h)

clean: ## remove everything that was built
	rm -rf $(BUILD)

deps: ## install what building needs (Debian packages)
	@.ci/deps build

deps-test: | deps ## install what testing needs
	@.ci/deps test

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' $(MAKEFILE_LIST) | \
	  expand -t 16
	@echo 'Habit: git config core.hooksPath .githooks (make check, then commit)'
