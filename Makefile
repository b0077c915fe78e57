# Everything a contributor or the CI runs. Rust does the work; these are the short names.

# Tools that tests/setup made go before the machine's.
export PATH := $(CURDIR)/.tools/node/bin:$(CURDIR)/.tools/cargo/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help demo test fuzz lost-long test-deploy test-peers test-peers-long test-cluster bench bench-processes bench-versions hostile-long suite-long test-histories-long lint

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: ## Every flow against the embedded emulator; ARGS=--exit ends after the table
	cargo run --locked -- demo $(ARGS)

test: ## All tests that need no big parts, doc tests included; also builds without the emulator
	tests/setup/base
	cargo check --locked --no-default-features --all-targets
	cargo test --locked --workspace

# What the set-up could not make here is left out, and it says so.
test-deploy: ## The chart, the images, the rules and dashboards, by helm, promtool and whatever else reads them
	tests/setup/chart
	tests/setup/observe
	tests/setup/image --platforms
	tests/setup/compose
	cargo test --locked --test deploy -- $$(cat .tools/images/left-out 2>/dev/null)

test-peers: ## tokend at Keycloak, under SDKs, OAuth libraries, proxies, a Chromium; the emulator under msal-node, msal-go and SDKs
	tests/setup/peers
	cargo test --locked --test peers

test-peers-long: ## The emulator under msal4j, the SDK for Java and CXF; tokend under that SDK and Spring Security, at Hydra, mock-oauth2-server
	tests/setup/peers-long
	cargo test --locked --test peers-long

# The images have to be in the cluster: tests/setup/cluster leaves them in .tools/images as archives. Few threads: every test has an
# authority, a tokend or two and an app of its own.
test-cluster: ## tokend in the Kubernetes that KUBECONFIG names
	tests/setup/cluster
	cargo test --locked --test cluster -- --test-threads=$(or $(CLUSTER_THREADS),4)

bench: ## The benchmarks
	cargo bench --locked

fuzz: ## Foreign bytes at every parser, for FUZZ_SECONDS=600 each; FUZZ_SEED=number, TARGETS=names
	FUZZ_SECONDS=$(or $(FUZZ_SECONDS),600) cargo test --locked --test fuzz -- $(TARGETS)

suite-long: ## The whole suite ten times: a test that fails once is a fault
	for run in 1 2 3 4 5 6 7 8 9 10; do cargo test --locked --workspace || exit 1; done

lost-long: ## What Redis loses, a hundred times each: TIMES=100
	TOKEND_TIMES=$(or $(TIMES),100) cargo test --locked --test it -- accounts::lost accounts::failover sessions::lost

# Parameters by environment: HISTORIES_TOPOLOGY, HISTORIES_SEED, HISTORIES_SECONDS, HISTORIES_RUNS, HISTORIES_ONLY, HISTORIES_SKEW;
# tests/histories/main.rs says what each is. A history that fails says how to have it again.
test-histories-long: ## Random requests and faults, ten minutes on each kind of shared cache, and what must hold whatever happens
	tests/setup/base
	cargo test --locked --test histories

bench-processes: ## Cached hits of whole processes beside a bare axum server, by wrk and taskset on two cores; BINARY=path measures another build
	cargo bench --locked --bench cached -- processes $(BINARY)

bench-versions: ## CPU per cached request of two binaries in 30 pairs: OLD=path NEW=path
	cargo bench --locked --bench cached -- versions $(OLD) $(NEW)

hostile-long: ## What hostile callers and answers cost, in figures; BINARIES='path path' compares
	cargo bench --locked --bench hostile -- $(BINARIES)

# The tests that `cargo test` leaves out are no part of `--all-targets` either.
lint: ## Format, clippy, docs; licenses and sources too when cargo-deny is there (tests/setup/deny)
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --test peers --test peers-long --test deploy --test cluster --test histories -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --locked --workspace --no-deps
	@if command -v cargo-deny >/dev/null; then \
		set -x; cargo deny --locked --workspace check bans licenses sources; \
	else \
		echo 'cargo-deny is not installed (tests/setup/deny): bans, licenses and sources were not checked'; \
	fi
