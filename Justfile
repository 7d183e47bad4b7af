# The recipes that people and `.ci/run` share; each is one line.

# List the recipes
default:
    @just --list --unsorted

# Serve on http://127.0.0.1:8080 with the embedded database
run *arguments:
    cargo run -- {{arguments}}

# Run every test; those on PostgreSQL too where it is installed
test *arguments:
    cargo test {{arguments}}

# Everything that needs no server: format, lints, documents, licences
check: fmt lint doc deny

# Check the format
fmt:
    cargo fmt --all --check

# Lint, warnings denied
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# Build the documentation, warnings denied
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Check dependencies: bans, licences, sources
deny:
    cargo deny --config .deny.toml check bans licenses sources

# Check dependencies against the advisory database (needs GitHub)
advisories:
    cargo deny --config .deny.toml check advisories

# Write the document that the code derives into api/openapi.json
document:
    cargo run --quiet -p tasks-api > api/openapi.json.new && mv api/openapi.json.new api/openapi.json

# Judge the committed document with independent tools (Python, Node)
contract:
    .ci/contract

# Look for requests on which the release binary breaks the document: 10,000 and more, on both databases (Python, PostgreSQL)
fuzz: release
    EXAMPLES=350 .ci/fuzz target/release/tasks-server 3400 sqlite,postgres 1 2 3

# Take the committed document for the released one, whose promises later ones keep
released:
    cp api/openapi.json api/released.json

# Write the TypeScript types of the committed document into tests/clients/tasks-api-client (Node)
types:
    npm ci --loglevel=error --no-audit --no-fund --ignore-scripts --prefix tests/clients && node tests/clients/run.mjs --write

# Generate the clients that people use, compile them strictly and use them on the release binary: those that take seconds (Node, Python)
clients *arguments: release
    npm ci --loglevel=error --no-audit --no-fund --ignore-scripts --prefix tests/clients && node tests/clients/run.mjs {{arguments}} target/release/tasks-server

# All of them, and Prism and Schemathesis as a tester runs them (Node, Python, Go)
clients-all: (clients "--all")

# Live through a night offline with TanStack DB and RxDB on the release binary (Node)
offline *arguments: release
    npm ci --loglevel=error --no-audit --no-fund --ignore-scripts --prefix tests/typescript && node tests/typescript/run.mjs target/release/tasks-server {{arguments}}

# Hold /mcp of the release binary to the clients of agents, the inspector and the specification's conformance suite (Node, Python)
agents *arguments: release
    .ci/agents target/release/tasks-server {{arguments}}

# Use the pages of the release binary in headless Chromium (Node, Python, curl, Chromium)
browser: release
    npm ci --loglevel=error --no-audit --no-fund --ignore-scripts --prefix tests/browser && node tests/browser/run.mjs target/release/tasks-server

# Start the release binary in an empty folder and use it
smoke: release
    .ci/smoke target/release/tasks-server

# Hold random sequences of operations against a model, on both databases; more of them than `just test` does
model cases="5000":
    PROPTEST_CASES={{cases}} cargo test --test http model::

# Hold the optimized program among faults of real databases and poolers, as long and as heavy as the promises are worded
faults *arguments:
    FAULTS=long cargo test --release --test faults -- --test-threads=2 {{arguments}}

# Hold the optimized program against strangers, as long and as heavy as the promises are worded
edge *arguments:
    EDGE=long cargo test --release --test edge -- {{arguments}}

# Hold what the optimized program uses flat over a million requests
soak:
    EDGE=soak cargo test --release --test edge

# Lint and test what the feature `otlp` adds: traces for a collector
otlp:
    cargo clippy --all-targets --features otlp -- -D warnings && cargo test --features otlp --test otlp

# Run the tests over HTTP through a pooler of tests/support/pgbouncer.rs: transaction-1.18, session-1.18, transaction-1.24, transaction-1.24-unfollowed
pooler name:
    PROPTEST_CASES=100 TEST_POOLER={{name}} cargo test --test http -- --skip sqlite:: --skip forgery::

# Run the tests over HTTP on PostgreSQL 18, whichever version is installed (Node)
postgres-18:
    .ci/postgres-18 target/postgres-18 && PROPTEST_CASES=100 PATH=$PWD/target/postgres-18/bin:$PATH cargo test --test http -- --skip sqlite:: --skip forgery::

# Hold the release binary to what src/sign-in.md says of each sign-in system, with real ones: all, or those of this name (Node, Python)
issuers *name: release
    .ci/issuers target/release/tasks-server {{name}}

# Measure the release binary under load on both databases; --growth, --commit-delay and --help tell more (Python, wrk, PostgreSQL)
bench *arguments: release
    tests/bench/run {{arguments}} target/release/tasks-server

# Hold what a request costs, in allocations and instructions, against tests/cost, red at +10 % (Python, valgrind, PostgreSQL)
cost: release
    cargo test --test cost && tests/cost/instructions target/release/tasks-server

# Take what a request costs now for what it may cost
costs: release
    WRITE_COSTS=1 cargo test --test cost && tests/cost/instructions --write target/release/tasks-server

# Measure what a check of a token costs beside its bare signature
bench-token:
    cargo bench --bench token

# Make a Debian package in target/debian (cargo-deb)
package: release
    cargo run --quiet --example manual target/manual && cargo deb --no-build --no-strip

# Make it, install it here, use it, upgrade and purge it (root, cargo-deb, lintian, strace, systemd)
debian: release
    tests/deploy/package

# Lint Dockerfiles, compose.yaml, settings and what Prometheus is told (Python, Prometheus)
deploy-lint: release
    tests/deploy/lint target/release/tasks-server

# Let a real Prometheus scrape the release binary, and see that dashboard and alerts have data (Prometheus, PostgreSQL)
prometheus: release
    tests/deploy/prometheus target/release/tasks-server

# Build the release binary
release:
    cargo build --release -p tasks-server

# All that a change must pass
ci:
    .ci/run
