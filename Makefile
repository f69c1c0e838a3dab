# All tasks of the project. `make` without a target lists them.

# Says what to install where cargo is missing or too old.
CARGO ?= tools/cargo.sh
# Settings pass through the environment: `make run PORT=9000`. Cargo would pass on another CARGO than itself to what it builds.
export
unexport CARGO

.DEFAULT_GOAL := help
.PHONY: help \
  run takeover dev demo cluster-demo \
  build test check test-protocol test-systemd test-page fmt lint doc fuzz deny \
  load-test perf-check bench bench-load bench-hostile bench-amplification bench-pairs bench-cluster bench-cores bench-operators bench-takeover soak bench-page artillery-test artillery-quick \
  profile-cpu profile-mem \
  monitor health metrics tune compose-up compose-down docker-run \
  build-release docker install uninstall deb sbom clean

help: ## Print this list
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {print "\n" substr($$0, 5) ":"} \
	  /^[a-z-]+:.*## / {printf "  make %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ play

run: ## Build for release, raise the limit of open files, and serve on port 8108; on all cores: make run PROCESSES=4
	./start.sh

takeover: ## Take the running server over with the program of this clone; no player notices: make takeover PORT=9000 PROCESSES=4
	./start.sh --takeover

dev: ## Serve from a debug build, with a debug log
	DEBUG=true $(CARGO) run

demo: ## Run 1,000 simulated players for 30 s and write a report (DEMO_CLIENTS, DEMO_SECONDS, PORT)
	./demo.sh

cluster-demo: ## Start Redis, three servers and HAProxy, or with PROCESSES=3 one port: make cluster-demo LOAD="--clients 600"
	@tools/need.sh redis-server:redis-server $(if $(PROCESSES),,haproxy:haproxy)
	@$(BENCH) cluster --demo

##@ test

build: ## Build everything, the tools too, for debugging
	$(CARGO) build --workspace --all-targets

# Integration tests mostly wait for a server, so more threads than cores finish sooner.
RUST_TEST_THREADS ?= 12
PAGE_TESTS ?= tests/page/run.sh page.test.mjs rules.test.mjs panels.test.mjs nodes.test.mjs files.test.mjs package.test.mjs
test: ## Run all tests (installs the programs they need from Debian's packages when they are missing)
	tests/install.sh
	$(CARGO) test --workspace --no-fail-fast
	IS_BUILT=true $(PAGE_TESTS)

check: lint test doc ## What CI runs: format, lints, tests, documentation

test-protocol: ## Check the protocol behavior that clients rely on, and compare servers: make test-protocol SERVER=127.0.0.1:8108,127.0.0.1:8109
	@$(CARGO) build --release --package ops
	@"$${CARGO_TARGET_DIR:-target}/release/pixi-game-ops" conform

test-systemd: ## Boot systemd in a container, and operate the installed package there: as root (installs systemd-container when it is missing)
	tests/install.sh
	tools/need.sh systemd-nspawn:systemd-container
	$(CARGO) test --workspace --test all -- --ignored booted

test-page: ## Run only the browser tests (installs Chromium and playwright-core when they are missing)
	$(PAGE_TESTS)

fmt: ## Format the code
	$(CARGO) fmt --all

# Code with a feature is only ever added, so that one run covers the builds without it.
ALL_FEATURES := --features pixi-game-server/profile-mem
lint: ## Check format, lints and words, warnings denied
	tools/words.sh
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets $(ALL_FEATURES) -- -D warnings

doc: ## Build the documentation, warnings denied
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items $(ALL_FEATURES)

FUZZ_SECONDS ?= 660
fuzz: ## Run each fuzz target for FUZZ_SECONDS (installs cargo-fuzz when it is missing)
	@command -v cargo-fuzz >/dev/null || $(CARGO) install cargo-fuzz --locked
	@for target in $$(ls fuzz/fuzz_targets | sed 's/\.rs$$//'); do \
	  mkdir -p fuzz/corpus/$$target; \
	  RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
	    -max_total_time=$(FUZZ_SECONDS) || exit 1; \
	done

ADVISORIES := https://github.com/RustSec/advisory-db
deny: ## Check dependencies by deny.toml (installs cargo-deny when it is missing)
	@command -v cargo-deny >/dev/null || $(CARGO) install cargo-deny --locked
	$(CARGO) deny --workspace --locked check bans licenses sources
	@if GIT_TERMINAL_PROMPT=0 git ls-remote --quiet $(ADVISORIES) HEAD >/dev/null 2>&1; then \
	  $(CARGO) deny --workspace --locked check advisories; \
	else echo "ADVISORIES NOT CHECKED: $(ADVISORIES) can't be reached from here" >&2; fi

##@ measure

load-test: ## Start a server, run a load test and check the results: make load-test LOAD="--clients 5000 --moves-per-second 2"
	tools/load-test.sh $(or $(LOAD),--clients 1000 --moves-per-second 10 --duration 60s)

perf-check: ## Check performance with 10,000 players: yes, no, or can't tell on a busy machine (one minute)
	$(BENCH) load --check

bench: ## Run the micro-benchmarks (about two minutes)
	$(CARGO) bench

BENCH := $(CARGO) build --release --package pixi-game-server --package loadtest --package bench --bins && \
  "$${CARGO_TARGET_DIR:-target}/release/bench"
bench-load: ## Run the table of load scenarios and record the results: make bench-load RUNS=3 DURATION=60s ROWS=a,c
	$(BENCH) load

bench-hostile: ## Measure players next to slow and silent peers, and under each attack: make bench-hostile PAIRS=1 KINDS=slots,jump
	$(BENCH) hostile

bench-amplification: ## Measure bytes sent and CPU time per byte received from a client: make bench-amplification VIEWERS=120
	$(BENCH) amplification

bench-pairs: ## Measure CPU per socket call of server and floor in turns: make bench-pairs PLAYERS=1000 PAIRS=9 OTHER_SERVER=PROGRAM
	$(BENCH) pairs

bench-operators: ## Measure acks beside scripts that list all players in a loop: make bench-operators PLAYERS=10000 PAIRS=3
	$(BENCH) operators

bench-takeover: ## Measure the pause of takeovers under load: make bench-takeover PLAYERS=10000 TAKEOVERS=5
	$(BENCH) takeover

bench-cluster: ## Measure a cluster, and the losses when a part of it fails: make bench-cluster PARTS=faults
	@tools/need.sh redis-server:redis-server haproxy:haproxy
	@$(BENCH) cluster

bench-cores: ## Measure one process and several on one port: make bench-cores PARTS=rows,players,crowd PROCESSES=2
	@tools/need.sh redis-server:redis-server
	@$(BENCH) cores

soak: ## Run players, churn and hostile peers for an hour and check for drift: make soak SOAK_DURATION=2m SOAK_CLIENTS=3000
	$(BENCH) soak

bench-page: ## Measure the page's frames per second with 500 players on the screen: make bench-page PAGE_PLAYERS=200
	BUILD=release tests/page/run.sh bench.mjs

# These start their own server unless SERVER is set explicitly; the default of SERVER is only for monitoring.
artillery-test artillery-quick test-protocol: export SERVER := $(if $(filter file,$(origin SERVER)),,$(SERVER))
artillery-test: ## Run Artillery's load for two minutes (installs it): make artillery-test SERVER=127.0.0.1:8108
	tools/artillery/run.sh full

artillery-quick: ## Run Artillery's load for half a minute
	tools/artillery/run.sh quick

# As start.sh.
profile-cpu: export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1
profile-cpu profile-mem: programs = --profile profiling --package pixi-game-server --package loadtest --package bench
profile-cpu profile-mem: profile = "$${CARGO_TARGET_DIR:-target}/profiling/bench" profile
profile-cpu: ## Profile CPU time under load (perf): a flame graph and the top functions; LOAD as for load-test
	$(CARGO) build $(programs) --bins
	$(profile) cpu

profile-mem: ## Profile memory under load (dhat): the peak and the steady state; LOAD as for load-test
	$(CARGO) build $(programs) --bins $(ALL_FEATURES)
	$(profile) mem

##@ operate

SERVER ?= 127.0.0.1:8108
monitor: ## Monitor servers in the terminal: make monitor SERVER=127.0.0.1:8108,127.0.0.1:8109
	@$(CARGO) build --release --package ops
	@SERVER="$(SERVER)" "$${CARGO_TARGET_DIR:-target}/release/pixi-game-ops" monitor

health: ## Query the health of a server: make health SERVER=127.0.0.1:8109
	@curl --fail-with-body --silent --show-error "http://$(SERVER)/health" && echo

metrics: ## Print the metrics of a server, one per line: make metrics SERVER=127.0.0.1:8109
	@$(CARGO) build --release --package ops
	@SERVER="$(SERVER)" "$${CARGO_TARGET_DIR:-target}/release/pixi-game-ops" monitor --once

tune: ## Show the kernel settings that limit the number of players: make tune PLAYERS=20000
	@$(CARGO) build --release --package ops
	@"$${CARGO_TARGET_DIR:-target}/release/pixi-game-ops" tune

compose-up: ## Start the stack: game, HAProxy, Prometheus, Grafana
	docker compose up --build --detach --wait

compose-down: ## Stop the stack; the data of Prometheus and Grafana is kept
	docker compose down

docker-run: ## Run the image on port 8108: make docker-run PORT=9000
	docker run --rm --init --publish $${PORT:-8108}:8108 --ulimit nofile=32768:32768 --read-only --cap-drop ALL \
	  --security-opt no-new-privileges pixi-game-server:$${VERSION:-latest}

##@ package

build-release: ## Build the server for release: target/release/pixi-game-server
	$(CARGO) build --release --package pixi-game-server

docker: ## Build the image, which contains only a static binary
	docker build --tag pixi-game-server:$${VERSION:-latest} .

# The build to install: release or debug.
INSTALL_BUILD ?= release
INSTALLED := --package pixi-game-server --package ops --package loadtest
install uninstall: export PREFIX ?= /usr/local
install: ## Install programs, unit, manual, completions (PREFIX=/usr/local, SYSCONFDIR=/etc, DESTDIR); builds if cargo exists
	@if $(CARGO) --version >/dev/null; then \
	  $(CARGO) build $(if $(filter debug,$(INSTALL_BUILD)),,--release) $(INSTALLED) --bins && \
	  "$${CARGO_TARGET_DIR:-target}/$(INSTALL_BUILD)/pixi-game-ops" manual "$${CARGO_TARGET_DIR:-target}/manual"; \
	else echo "installing the existing build"; fi
	tools/install.sh install

uninstall: ## Remove the files of `make install`; changed settings are kept
	tools/install.sh uninstall

deb: ## Build a Debian package below target/debian
	rm -rf "$${CARGO_TARGET_DIR:-target}/deb-root"
	$(MAKE) --no-print-directory install PREFIX=/usr SYSCONFDIR=/etc DESTDIR="$${CARGO_TARGET_DIR:-target}/deb-root"
	tools/deb.sh

sbom: ## Write a CycloneDX bill of materials of the server and check that it is complete (needs jq)
	tools/sbom.sh

clean: ## Delete all build outputs
	$(CARGO) clean
