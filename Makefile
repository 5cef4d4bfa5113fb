.PHONY: demo test setup verify fix

# Builds what is needed and plays the five scenes.
demo: setup
	cargo run --example demo

# Every test of every crate, those across processes too.
test: setup
	cargo test --workspace

# What RocksDB's build needs, installed only where it is missing.
setup:
	@./scripts/setup.sh

# Everything that CI checks; changes nothing.
verify:
	.ci/run

# Formats, and applies what clippy can mend by itself.
fix: setup
	cargo fmt --all
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
