# rt: `make` builds ./rt, `make help` lists the rest.

SHELL := /bin/bash
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# Go's own installer puts it here and leaves PATH to the user.
export PATH := $(PATH):/usr/local/go/bin

VERSION := $(shell cat VERSION)
COMMIT := $(or $(shell git describe --always --dirty --abbrev=12 --exclude '*' 2>/dev/null),unknown)
PREFIX ?= /usr/local
DESTDIR ?=
export GO ?= go
TAGS := urfave_cli_no_docs netgo osusergo

# musl, because a static glibc costs every start 0.3 ms more. Its headers lack the kernel's, which are
# the same for every C library and are looked up last.
CC := musl-gcc
KERNEL_HEADERS := -idirafter /usr/include -idirafter /usr/include/$(shell gcc -print-multiarch 2>/dev/null)
WARNINGS := -Wall -Wextra -Werror
# What they cost and what is left out (static PIE, _FORTIFY_SOURCE): docs/hardening.md.
HARDENING := -fstack-protector-strong -fstack-clash-protection
export CC
export CGO_ENABLED := 1
export CGO_CFLAGS := -O2 $(HARDENING) $(KERNEL_HEADERS)

LDFLAGS := -s -w -linkmode external -extldflags "-static" -X main.version=$(VERSION) -X main.commit=$(COMMIT)

# The stub image is the same C that cgo compiles into rt, as a program of a few pages of its own:
# no exception tables, sections nobody calls dropped, code and data in one segment.
STUB := nsenter/image/stub
STUB_SOURCES := $(wildcard nsenter/*.c)
STUB_CFLAGS := -static -Os -std=gnu11 $(WARNINGS) $(HARDENING) -D_GNU_SOURCE -DRT_STUB_IMAGE $(KERNEL_HEADERS) \
	-fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections \
	-Wl,--gc-sections -Wl,-z,noseparate-code -Wl,--build-id=none -s

# How long one fuzz target runs in `make fuzz`.
FUZZTIME ?= 60s
export RT_TAGS := $(TAGS)

all: rt ## build ./rt (static, musl, patched Go runtime; STOCK=1: Go as it is)

# toolchain/README.md: the pinned Go with a small patch, or any Go as it is.
STOCK ?=
export STOCK

# Go's cache decides what is to be compiled again, also when STOCK has changed.
rt: tools $(STUB)
	toolchain/build $(if $(STOCK),stock,patched) '$(LDFLAGS)' -tags '$(TAGS)' -trimpath -o $@ .

# The other build, beside ./rt, for tests and benchmarks of both.
build/rt-stock: tools $(STUB)
	toolchain/build stock '$(LDFLAGS)' -tags '$(TAGS)' -trimpath -o $@ .

$(STUB): $(STUB_SOURCES) $(wildcard nsenter/*.h) Makefile | tools
	$(CC) $(STUB_CFLAGS) -o $@ $(STUB_SOURCES)

# Only when something is missing; needs root then.
tools:
	@scripts/deps build

deps: ## install what the build and the tests need (apt-get, only what is missing)
	@scripts/deps all

demo: ## build, then run, exec into and delete containers, and say what happens
	@scripts/demo --check
	@scripts/deps demo
	@$(MAKE) rt
	@scripts/demo

test: ## everything: build, lint, unit and integration tests, fuzz smoke, nothing left behind
	@scripts/deps all
	@scripts/test

unit: tools $(STUB) ## unit tests only
	$(GO) test -tags '$(TAGS)' -timeout 1h $$($(GO) list -tags '$(TAGS)' ./... | grep -v '/tests/') ./tests/arch ./tests/vm

# Runs a slow suite, and puts its result into docs/suites.md.
SUITE = $(GO) run ./tests/suites docs/suites.md

test-security: rt ## the attacks of tests/security at full length, and against weakened builds (root, some minutes)
	RT_SECURITY=full $(SUITE) test-security go test -count=1 -timeout 6h ./tests/security

test-wedged: rt ## all that rt talks to hangs in turn, and delete --force ends within five seconds (root, on a quiet machine)
	RT_WEDGED=1 $(SUITE) test-wedged go test -count=1 -timeout 1h -run '^TestWedged' ./tests/security

integration: rt ## integration tests only (root)
	$(GO) test -tags '$(TAGS)' -count=1 -timeout 3h ./tests/integration/... ./tests/security ./tests/configs
	cd tests/gorunc && RT=$(CURDIR)/rt $(GO) test -count=1 -timeout 1h .

PEERS ?= 1.5.3 1.6.0-rc.1
integration-peers: rt ## tests/integration with rt and with each runc of PEERS, and docs/runc-peers.md (root; RUN=regexp for some tests)
	@PEERS='$(PEERS)' scripts/integration-peers

test-many: rt ## 1,000 containers at once: what one more costs, nothing left (root, minutes; RT_MANY=N)
	$(SUITE) test-many go test -tags '$(TAGS)' -count=1 -timeout 30m ./tests/many

test-fault: rt ## kill rt at every system call, let each fail, race, exhaust (root, an hour; RT_FAULT_EVERY=N, RT_FAULT_SEED=N)
	RT_FAULT=full $(SUITE) test-fault go test -tags '$(TAGS)' -count=1 -timeout 4h ./tests/fault

NEIGHBOURS ?= 10m
test-neighbours: rt ## every verb on 50 containers with shared and nested cgroups for NEIGHBOURS (10m): none dies of another's (root)
	RT_NEIGHBOURS=$(NEIGHBOURS) $(SUITE) test-neighbours go test -tags '$(TAGS)' -count=1 -timeout 6h -run '^TestNeighbours$$' ./tests/fault

SOAK ?= 10000
test-soak: rt ## create, start, exec, kill, delete, SOAK (10000) times with 4 workers: nothing grows (root, half an hour)
	RT_SOAK=$(SOAK) nice $(SUITE) test-soak go test -tags '$(TAGS)' -count=1 -timeout 6h -run '^TestSoak$$' ./tests/fault

# The engines of Debian's packages; the same suites run on another runtime with RT=path.
ENGINE ?= docker swarm containerd cri gorunc podman rootless buildah examples
test-engines: rt ## Docker, containerd, Podman and others on rt (root, minutes; ENGINE=name RT=path)
	@scripts/deps engines
	@failed=0; for engine in $(ENGINE); do tests/engines/run "$$engine" $(or $(RT),./rt) || failed=1; done; \
		tests/engines/table; exit "$$failed"

# Today's, from a root filesystem of Debian sid, which scripts/podman makes.
test-pods: rt ## pods and kube files of Podman 5 on rt (root, minutes; RT=path)
	@scripts/deps engines
	@scripts/deps tree
	@failed=0; tree=$$(scripts/podman) && TREE=$$tree tests/engines/run pods $(or $(RT),./rt) || failed=1; \
		tests/engines/table; exit "$$failed"

lint: ## gofmt, go vet, staticcheck, shellcheck, gcc -fanalyzer
	@scripts/lint

fuzz: ## every fuzz target for FUZZTIME (60s)
	@scripts/fuzz $(FUZZTIME)

CONFIGS ?= 20000
fuzz-configs: rt ## mutated configurations of engines, end to end: CONFIGS (20000) of them, RT_FUZZ_SEED=N (root, ten minutes)
	RT_CONFIGS=$(CONFIGS) RT_CONFIGS_LIMIT=10s $(SUITE) fuzz-configs go test -tags '$(TAGS)' -count=1 -timeout 6h -run '^TestConfigurations$$' ./tests/configs

check-clean: ## prove that no cgroup, mount, process, directory of a test or demo is left
	@scripts/check-clean

check-clean-test: ## see that check-clean catches each kind of leftover
	@scripts/check-clean-test

.PHONY: test-vm
# As they are given: a regular expression and a script may have a $ of their own.
override export RUN := $(value RUN)
override export CMD := $(value CMD)
override export SKIP := $(value SKIP)
test-vm: rt ## the tests in qemu guests (root): GUEST=v2,systemd,... RUN=regexp SKIP=regexp CMD=script JOBS=n V=1 RT=path
	@scripts/deps vm
	@$(GO) run ./tests/vm $(if $(RT),-rt '$(RT)') -guest "$$GUEST" -run "$$RUN" -skip "$$SKIP" -sh "$$CMD" $(if $(JOBS),-jobs $(JOBS)) $(if $(V),-v)

bench: rt build/rt-stock ## compare with runc and crun; writes bench/results/latest.{txt,svg} and docs/performance.md
	@scripts/deps bench
	@scripts/bench

# Without the compiler and the flags of rt: as runc's users build it.
RUNC ?= 1.5.3
runc-peer: ## build runc RUNC (1.5.3) from its Go module into build/runc-RUNC, to compare rt with
	@scripts/runc-peer '$(RUNC)'

# Of any builds and peers: BUILDS='old:path rt:./rt stock:build/rt-stock crun:crun runc:runc', as many as wanted.
bench-builds: rt build/rt-stock ## a table of both builds and of peers: time, page faults, clones (root; BUILDS='name:path ...' N=runs)
	@scripts/deps bench
	@mkdir -p build && $(GO) build -o build/bench ./bench
	build/bench -mode builds $(if $(N),-n $(N)) -rt ./rt -peer rt-stock:build/rt-stock $(foreach b,$(BUILDS),-peer '$(b)')

bench-counts: rt build/rt-stock ## write down how many system calls both builds make, with which `make test` compares (root)
	@scripts/deps all
	@mkdir -p build && $(GO) build -o build/bench ./bench
	build/bench -mode counts -update -rt ./rt
	build/bench -mode counts -update -rt build/rt-stock

test-toolchain: tools ## Go's own tests on the patched standard library, compared with those on Go as it is (ten minutes)
	@toolchain/test

install: rt ## install into PREFIX (/usr/local), below DESTDIR
	install -D -m 0755 rt '$(DESTDIR)$(PREFIX)/bin/rt'
	@for page in $(wildcard man/*.8); do install -D -m 0644 "$$page" "$(DESTDIR)$(PREFIX)/share/man/man8/$${page##*/}"; done

clean: ## remove what the build made
	rm -rf rt build $(STUB)

distclean: clean ## and the cached test root filesystems
	scripts/rootfs --purge

help: ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/\1\t\2/p' Makefile | awk -F'\t' '{ printf "  make %-18s %s\n", $$1, $$2 }'

.PHONY: all rt build/rt-stock tools deps demo test test-wedged test-security unit integration integration-peers test-many test-fault test-neighbours test-soak test-engines test-pods lint fuzz fuzz-configs check-clean check-clean-test bench bench-builds bench-counts test-toolchain runc-peer install clean distclean help
