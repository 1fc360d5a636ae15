# Short names for what is done often. `just --list` shows them.

# All that CI runs.
test:
    scripts/test

# Fast feedback: types and lints.
check:
    cargo clippy --workspace --all-targets -- -D warnings
    cargo fmt --all --check

# Fuzz every target for a while: `just fuzz 60`.
fuzz seconds="60":
    for t in $(cargo +nightly fuzz list); do cargo +nightly fuzz run $t -- -max_total_time={{seconds}}; done

# Micro-benchmarks of the crates wire, beside prost, and gzip, beside zlib-rs.
bench:
    cargo bench -p bywash-wire -p bywash-gzip

# What the queue on disk costs, and what it takes from the throughput; on a real disk, below the target directory.
spool-bench:
    cargo bench -p bywash-flow --bench spool
    cargo test --release -p bywash --test e2e throughput_on_disk -- --ignored --nocapture

# Kill the process a thousand times under load, and see that nothing acknowledged is lost: `just crash 5000`.
crash rounds="1000":
    BYWASH_CRASH_ROUNDS={{rounds}} cargo test -p bywash --test e2e crash_loop -- --nocapture

# How long routing takes while backends come and go.
lb-churn:
    cargo test --release -p bywash-components --lib during_churn -- --ignored --nocapture --test-threads=1

# A thousand tenants among nine thousand dead ones, beside the thousand alone, held to the bounds that are aimed at.
many-targets:
    BYWASH_STRICT=1 cargo test --release -p bywash --test e2e -- ten_thousand many_at_rest --nocapture --test-threads=1

# Advisories, licences, duplicate crates (needs cargo-deny).
deny:
    cargo deny check
