# A convenience: everything here is one command that also works without just.

# Lists the recipes.
default:
    @just --list

# Runs the tracker with a state directory of its own below target/.
dev *arguments:
    cargo run --release -- serve --state-dir target/dev-state {{arguments}}

# Passes all tests.
test:
    ./test.sh

# Formats the code and applies what clippy can apply by itself.
fix:
    cargo fmt --all
    cargo clippy --fix --allow-dirty --workspace --all-targets

# Writes what is generated: the example configuration, the snapshots and the document of the API.
generate:
    cargo run -- config init --stdout > evenkeel.example.toml
    INSTA_UPDATE=always cargo test -p evenkeel --test it snapshots
    UPDATE_OPENAPI=1 cargo test -p evenkeel --test it openapi

# Writes the baseline of the counted instructions anew: a commit of its own, which says why.
update-instructions:
    UPDATE_INSTRUCTIONS=1 cargo bench -p evenkeel-core --bench instructions

# Checks licences, bans and sources of the dependencies (cargo install cargo-deny).
deny:
    cargo deny check licenses bans sources

# Real clients, each transfer ten times in a row: 12 minutes. Stopped, it goes on where it was.
prove-clients times="10":
    scripts/prove_clients.sh {{times}}

# Fuzzing, seconds for each target: 20 minutes each by default. Stopped, it goes on where it was.
prove-fuzz seconds="1200":
    scripts/prove_fuzz.sh {{seconds}}

# evenkeel beside its peers, for docs/benchmarks.md: an hour and a half of a quiet machine. Stopped, it goes on where it was.
# With --tcp, HTTP and WebTorrent, for docs/benchmarks-tcp.md: half an hour.
prove-bench *arguments:
    scripts/prove_bench.sh {{arguments}}

# 9,000 idle WebSockets and 9,000 idle HTTP connections at once, with one worker: some minutes.
prove-connections each="9000":
    scripts/prove_connections.sh {{each}}

# WebTorrent sockets that come and go, 2,000 at a time: an hour by default. Stopped, it begins anew.
prove-ws-churn minutes="60":
    scripts/prove_ws_churn.sh {{minutes}}

# The books beside a naive ledger and beside the truth: a million sequences of each, two minutes.
prove-ledger sequences="1000000":
    EVENKEEL_SEQUENCES={{sequences}} cargo test --release -p evenkeel-core --test core ledger

# Hostile clients beside good ones, over HTTP and WebTorrent, so many seconds each: five minutes by default.
prove-hostile seconds="120":
    scripts/prove_hostile.sh {{seconds}}

# What the policies do to simulated communities, for docs/proofs/equilibrium.md: some minutes.
prove-equilibrium *arguments:
    scripts/prove_equilibrium.sh {{arguments}}

# What the policy rbs does to communities of real clients, for docs/proofs/swarm.md: half an hour. Stopped, it goes on where
# it was.
prove-swarm *arguments:
    scripts/prove_swarm.sh {{arguments}}

# What members and cheaters earn in a month, for docs/proofs/standing.md: a minute or two.
prove-standing:
    scripts/prove_standing.sh

# Kills the tracker at random moments under announces, so many times for each database: twenty minutes. The books must be
# exact to the byte.
prove-crash kills="500":
    scripts/prove_crash.sh {{kills}}

# Takes the database away under announces, in five ways, PostgreSQL for ten minutes each: three quarters of an hour. Nobody may
# notice, and the books must be exact.
prove-outage *arguments:
    scripts/prove_outage.sh {{arguments}}

# Starts the tracker with a community of so many users, as many torrents and three times as many sessions: some minutes.
prove-load *users:
    scripts/prove_load.sh {{users}}

# Books a hundred thousand announces at once in SQLite and PostgreSQL, and looks what that costs the database: some minutes.
prove-flush *bookings:
    scripts/prove_flush.sh {{bookings}}
