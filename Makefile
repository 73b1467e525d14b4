# The few commands a person types. Each does its own set-up and says what it installs.
#
#   make demo     the main job on this machine: no root, no target, nothing left behind
#   make test     everything, real targets included; installs them where it may (apt, as root)
#   make check    for in between: formatting, clippy, the unit tests
#   make test-lio the same against LIO, the target in the Linux kernel, in a QEMU guest of its own
#   make test-nfs the NFS export under the client in the Linux kernel, in a QEMU guest: loop device, file system, kill -9
#   make test-mac     the Mac's way to attach as a whole, its tools played with effects in a QEMU guest: ends, faults, bad habits
#   make test-darwin  the Mac's program and the Mac's build of the tests, under a loader of our own: STEPS="loader program" for some
#   make kext     the kernel extension: both archives audited, the C++ parsed for both kernels; on a Mac, built
#   make test-kext    the extension's own sources in a harness, under sanitizers: SEEDS="1 2" how streams are cut
#   make fuzz-kext    what a process may call of the extension, and a target send to it: FUZZ_SECONDS=60
#   make build    target/release/iscsid and, beside it, the symlink iscsictl
#   make install  on Linux, what `make build` built: program, manual pages, completions, units of systemd; PREFIX=/usr/local DESTDIR=
#   make uninstall    removes exactly that, and not the settings
#   make soak     faults on sessions under load, nothing lost: FAULTS=500 SEED=… SECONDS=7200 say how many, until when
#   make hold     64 sessions held with I/O, what one costs: SESSIONS=64 SECONDS=600
#   make bench    the benchmarks, ours and our peers' in one run; WORDS="--rounds 3 NBD" for some of them
#   make fuzz     each fuzz target for a minute; FUZZ_SECONDS=600 for longer, TARGETS=session for one of them
#   make miri     the protocol core in Miri; needs a nightly toolchain with it
#   make conformance  docs/conformance.md, from the checks and the tests that name them
#   make lint     rustfmt, clippy, rustdoc, cargo deny: no warning passes
#   make workflows    .github/workflows by their schema and by zizmor, which come from PyPI into target/tools
#   make advisories   whether a crate of ours has a known vulnerability; takes RustSec's database from the network
#   make apple    clippy for both Macs, from any machine; TARGETS=x86_64-apple-darwin for one of them
#   make package  Installer.pkg and Uninstall.pkg for both Macs, in target/package
#   make apple-link  the program for both Macs, linked on this machine, in target/apple
#   make no-std   the protocol core for a machine without an operating system
#   make test-minimal  `make demo` and `make test` in a minimal Debian, without nextest or rustup: weekly, and before a release

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

CARGO ?= cargo
# Tools that are built from source land here, not in the home directory.
TOOLS := $(CURDIR)/target/tools
# Where tests say that they were skipped (src/testing.rs).
SKIPPED := $(or $(CARGO_TARGET_DIR),target)/tmp/skipped

.PHONY: build install uninstall demo test check test-lio test-nfs test-mac test-darwin soak soak-short hold hold-short fuzz miri bench bench-smoke conformance lint workflows advisories apple apple-link package no-std kext test-kext fuzz-kext test-minimal

build:
	@tests/scripts/need rust cc
	$(CARGO) build --release --locked
	ln -sf iscsid target/release/iscsictl

# Builds nothing: what is installed is root's, and Cargo runs as a user.
install uninstall: export PREFIX ?= /usr/local
install uninstall: export DESTDIR ?=
install uninstall:
	@packaging/linux/install $@

# As fast as it can be built; what `make build` builds does the same, only faster.
demo:
	@tests/scripts/need rust cc
	$(CARGO) build --locked
	target/debug/iscsid ctl selftest

# Doc tests first, so that the run closes with the summary of the tests themselves.
test:
	@tests/scripts/need rust cc
	tests/scripts/install-tools
	rm -f $(SKIPPED)
	$(CARGO) test --doc --workspace --locked
	tests/scripts/run-tests all
	@if [ -s $(SKIPPED) ]; then echo "SKIPPED, not passed:"; sort -u $(SKIPPED); fi

check:
	@tests/scripts/need rust cc
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy --workspace --test '*' --locked -- -D warnings
	tests/scripts/run-tests unit

# TESTS=chap: only those with that in their name.
test-lio:
	@tests/scripts/need rust cc
	tests/scripts/install-tools
	$(CARGO) test --test lio --locked --no-run
	ONE_AT_A_TIME=1 tests/targets/guest/guest lio run tests/scripts/run-tests lio '$(TESTS)'

test-nfs:
	@tests/scripts/need rust cc
	tests/scripts/install-tools
	$(CARGO) test --test nfs --locked --no-run
	ONE_AT_A_TIME=1 tests/targets/guest/guest nfs run tests/scripts/run-tests nfs '$(TESTS)'

test-mac:
	@tests/scripts/need rust cc
	tests/scripts/install-tools
	$(CARGO) test --test fake_mac --locked --no-run
	ONE_AT_A_TIME=1 tests/targets/guest/guest mac run tests/scripts/run-tests fake_mac '$(TESTS)'

test-darwin:
	@tests/scripts/need rust cc
	tests/scripts/install-tools
	tests/darwin/run $(STEPS)

test-minimal:
	tests/scripts/minimal-root

kext:
	@tests/scripts/need rust cc
	tests/scripts/install-kext-tools
	$(MAKE) -C kext-shim

# Memory and undefined behaviour first, then races: the two sanitizers do not go together. Each runs the scenarios of
# the extension alone, and those of the whole program over it: SCENARIOS=. for all of these.
test-kext: SEEDS ?= 1 2
test-kext: SANITIZERS ?= address,undefined thread
test-kext: SCENARIOS ?= ^(login|units|integrity|file_system|durability|recovery|segments)::
test-kext: FAULTS ?= 15
test-kext:
	@tests/scripts/need rust cc
	tests/scripts/install-tools
	tests/scripts/install-kext-tools
	$(CARGO) test --test kernel_sim --test end_to_end --test soak --locked --no-run
	@for sanitizer in $(SANITIZERS); do \
	    $(MAKE) -C kext-shim --no-print-directory harness SANITIZE=$$sanitizer; \
	    export ISCSI_KERNEL_SIM="$(CURDIR)/target/kext/sim-$${sanitizer//,/-}/iscsi-kernel-sim"; \
	    for seed in $(SEEDS); do \
	        echo "==== kernel_sim under $$sanitizer, seed $$seed"; \
	        ISCSI_KERNEL_SIM_SEED=$$seed tests/scripts/run-tests kernel_sim '$(TESTS)'; \
	    done; \
	    echo "==== end_to_end over the extension under $$sanitizer"; \
	    ISCSID_TEST_BRIDGE=kext tests/scripts/run-tests end_to_end '$(SCENARIOS)'; \
	    echo "==== soak over the extension under $$sanitizer, $(FAULTS) faults"; \
	    ISCSID_TEST_BRIDGE=kext FAULTS=$(FAULTS) SECONDS=60 KILL_EVERY=5 \
	        $(CARGO) test --locked --test soak -- --ignored --nocapture --exact soak::soak; \
	done

fuzz-kext:
	@tests/scripts/need rust cc
	tests/scripts/install-kext-tools
	$(MAKE) -C kext-shim fuzz

# Of what users run, not of a debug build. ONLY=reset: only faults with that in their name.
soak: export FAULTS ?= 500
soak: export SECONDS ?= 7200
soak: export SEED ?=
soak: export KILL_EVERY ?= 50
soak:
	@tests/scripts/need rust cc
	tests/scripts/install-tools
	$(CARGO) test --release --locked --test soak -- --ignored --nocapture --exact soak::soak

soak-short: export FAULTS ?= 40
soak-short: export SECONDS ?= 120
soak-short: export SEED ?=
soak-short:
	@tests/scripts/need rust cc
	tests/scripts/install-tools
	$(CARGO) test --locked --test soak -- --ignored --nocapture --exact soak::soak

hold: export SESSIONS ?= 64
hold: export SECONDS ?= 600
hold:
	@tests/scripts/need rust cc
	$(CARGO) test --release --locked --test soak -- --ignored --nocapture --exact hold::hold

hold-short: export SESSIONS ?= 64
hold-short: export SECONDS ?= 20
hold-short:
	@tests/scripts/need rust cc
	$(CARGO) test --locked --test soak -- --ignored --nocapture --exact hold::hold

fuzz: export FUZZ_SECONDS ?= 60
fuzz: export FUZZ_JOBS ?= 2
fuzz:
	@tests/scripts/need rust cc
	tests/scripts/fuzz $(TARGETS)

# What stands on the wire, SCSI, tasks and the hashes: the rest takes Miri an hour. MIRI_TESTS= for all of it.
miri: MIRI_TESTS ?= pdu:: digest:: sn:: ids:: scsi:: tmf task window login::chap
miri:
	@tests/scripts/need rust cc
	@if ! $(CARGO) +nightly miri --version >/dev/null 2>&1; then \
	    echo "There is no Miri here: rustup toolchain install nightly --component miri,rust-src" >&2; exit 1; \
	fi
	$(CARGO) +nightly miri test -p iscsi-proto --features login --locked --lib --target-dir target/miri -- $(MIRI_TESTS)
	$(CARGO) +nightly miri test -p iscsi-kext --locked --test abi --target-dir target/miri

# WORDS: which of the comparisons, as benches/peers/main.rs says; all of them take about ten minutes.
bench:
	@tests/scripts/need rust cc
	tests/scripts/install-tools qemu-block-extra
	$(CARGO) bench --bench core --bench engine --bench nbd --locked
	$(CARGO) bench --bench peers --locked -- $(WORDS)

# Every benchmark for a moment, of the build that the tests have: its times mean nothing, but allocations and system
# calls per I/O beyond their budget fail.
bench-smoke:
	@tests/scripts/need rust cc
	tests/scripts/install-tools
	$(CARGO) bench --workspace --bench '*' --profile dev --locked -- --test

# The test writes what it would compare.
conformance:
	@tests/scripts/need rust cc
	ISCSID_WRITE_CONFORMANCE=1 $(CARGO) test --quiet --test conformance --locked

lint:
	@tests/scripts/need rust cc
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@# To Cargo, all targets are those with `test = true`.
	$(CARGO) clippy --workspace --test '*' --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked
	@if ! PATH="$(TOOLS)/bin:$$PATH" $(CARGO) deny --version >/dev/null 2>&1; then \
	    echo "Installing cargo-deny from crates.io into target/tools (about two minutes)."; \
	    CARGO_PROFILE_DEV_DEBUG=0 $(CARGO) install cargo-deny --version '^0.20' --locked --debug --quiet --root "$(TOOLS)" --target-dir target/tools/build; \
	fi
	PATH="$(TOOLS)/bin:$$PATH" $(CARGO) deny check licenses bans sources
	@# The advisories' database is a repository on the network, which no registry of packages has, and `lint` must run without it.
	@if [ -n "$$(ls -A "$${CARGO_HOME:-$$HOME/.cargo}/advisory-dbs" 2>/dev/null)" ]; then \
	    PATH="$(TOOLS)/bin:$$PATH" $(CARGO) deny --offline check advisories; \
	else \
	    printf '\n%s\n\n' 'NOT CHECKED: whether a crate of ours has a known vulnerability (RustSec). `make advisories` does, and takes the network.' >&2; \
	fi

workflows:
	tests/scripts/lint-workflows

advisories:
	@tests/scripts/need rust cc
	@if ! PATH="$(TOOLS)/bin:$$PATH" $(CARGO) deny --version >/dev/null 2>&1; then \
	    echo "There is no cargo-deny here: make lint installs it" >&2; exit 1; \
	fi
	PATH="$(TOOLS)/bin:$$PATH" $(CARGO) deny check advisories

apple:
	@tests/scripts/need rust cc
	tests/scripts/check-apple $(TARGETS)

# PROFILE=release for a release; the default spares minutes of link-time optimisation.
apple-link: export PROFILE ?= installer
apple-link:
	packaging/apple/link

# The manual pages come from the same program, built for this machine; WRITER=target/release/iscsid where it is already.
package: apple-link
ifeq ($(WRITER),)
	$(CARGO) build --bin iscsid --locked
endif
	WRITER=$(or $(WRITER),target/debug/iscsid) packaging/installer/build

# std is not there for this target, so code that reaches for it does not compile.
no-std:
	@tests/scripts/need rust x86_64-unknown-none
	$(CARGO) build -p iscsi-proto --locked --target x86_64-unknown-none --no-default-features
	$(CARGO) build -p iscsi-proto --locked --target x86_64-unknown-none --features login
