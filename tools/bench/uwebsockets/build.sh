#!/bin/sh
# Builds the floor on uWebSockets: tools/bench/uwebsockets/build.sh [OUTPUT]. Needs g++ 12 or later.
# The library's source comes from crates.io: the crate contains it. Cargo only fetches it, and runs none of its code.
set -eu
VERSION=0.0.10
output=${1:-target/uwebsockets-floor}
folder=$(dirname "$0")
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
mkdir "$build/src"
: >"$build/src/lib.rs"
cat >"$build/Cargo.toml" <<END
[package]
name = "fetch"
version = "0.0.0"
[dependencies]
libuwebsockets-sys = "=$VERSION"
[workspace]
END
cargo fetch --quiet --manifest-path "$build/Cargo.toml"
library=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/src" -maxdepth 2 -name "libuwebsockets-sys-$VERSION" | head -n 1)/uWebSockets
flags="-O3 -march=x86-64 -DLIBUS_NO_SSL -DUWS_NO_ZLIB -I$library/src -I$library/uSockets/src"
for source in bsd context loop socket eventing/epoll_kqueue; do
	# shellcheck disable=SC2086
	gcc $flags -c "$library/uSockets/src/$source.c" -o "$build/$(basename $source).o"
done
# shellcheck disable=SC2086
g++ -std=c++20 -Wall -Wextra $flags "$folder/floor.cpp" "$build"/*.o -o "$output"
echo "$output"
