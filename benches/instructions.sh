#!/usr/bin/env bash
# Counts the instructions of the hot paths (callgrind, so no noise) and compares with what was accepted: benches/instructions/accepted.toml.
#
#   benches/instructions.sh          fails if a path takes 5 % more or less
#   benches/instructions.sh accept   accepts what is counted now, for the commit that makes the change
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh valgrind
cargo run --quiet --release -p dynamokv-instructions -- "${1:-check}" benches/instructions/accepted.toml
