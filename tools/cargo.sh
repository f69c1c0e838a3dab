#!/bin/sh
# Runs cargo: tools/cargo.sh build --release. Where cargo is missing or too old, says what to install, and ends with status 1.
set -eu

while IFS='= "' read -r name _ needed _; do
    [ "$name" != rust-version ] || break
done <"$(dirname "$0")/../Cargo.toml"
install="install it as on https://rustup.rs: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"

fail() {
    echo "cargo.sh: $1; the build needs Rust $needed or later: $2" >&2
    exit 1
}

command -v cargo >/dev/null || fail "cargo is not installed" "$install"
# The cargo of rustup exists before its first toolchain, and then says what is missing.
version=$(cargo --version) || fail "cargo does not run" "rustup default stable"
version=${version#cargo } version=${version%% *}
major=${version%%.*} minor=${version#*.}
minor=${minor%%.*}
case $major$minor in
*[!0-9]*) ;; # A form that is not known is no reason to refuse.
*)
    [ "$major" -gt "${needed%%.*}" ] || { [ "$major" -eq "${needed%%.*}" ] && [ "$minor" -ge "${needed#*.}" ]; } ||
        fail "cargo $version is too old" "rustup update stable, or without rustup $install"
    ;;
esac
exec cargo "$@"
