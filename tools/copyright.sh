#!/bin/sh
# Writes the licence of the project and the list of the crates in its programs to "$1" (Debian's machine-readable format),
# and the texts of the crates' licences to "$2".
set -eu
cd "$(dirname "$0")/.."
cargo="${CARGO:-cargo}"
programs="--package pixi-game-server --package ops --package loadtest"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# Name, version, licence and folder of each crate of the registry that is linked into a program.
# shellcheck disable=SC2086 # Several words.
"$cargo" tree $programs --edges normal,no-proc-macro --prefix none --locked --format '{p}' |
    sed -nE 's/^([^ ]+) v([^ ]+)( \(proc-macro\))?( \(\*\))?$/\1 \2/p' | LC_ALL=C sort -u >"$work/linked"
"$cargo" metadata --format-version 1 --locked |
    jq -r '.packages[] | select(.source) | "\(.name) \(.version)\t\(.license)\t\(.manifest_path)"' >"$work/all"
awk -F '\t' 'NR == FNR { linked[$1] = 1; next } $1 in linked' "$work/linked" "$work/all" | LC_ALL=C sort >"$work/crates"
[ -s "$work/crates" ] && [ "$(wc -l <"$work/crates")" -eq "$(wc -l <"$work/linked")" ] || {
    echo "copyright.sh: cargo tree and cargo metadata name different crates" >&2
    exit 1
}

{
    cat <<HEAD
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: pixi-game-server
Comment: The programs contain the following Rust crates, under the licences named.
 The texts of those licences are in third-party-licences.txt beside this file.
 .
HEAD
    awk -F '\t' '{ print "  " $1 ": " $2 }' "$work/crates"
    printf '\nFiles: *\n%s\nLicense: MIT\n\nLicense: MIT\n' "$(sed -n 's/^Copyright (c) /Copyright: /p' LICENSE)"
    sed -e '1,/^Copyright/d' LICENSE | sed -e '1{/^$/d}' -e 's/^$/./' -e 's/^/ /'
} >"$1"

# Each licence text appears once, under the names of all crates that have it.
mkdir "$work/texts"
tab="$(printf '\t')"
while IFS="$tab" read -r crate licence manifest; do
    found=
    for file in "$(dirname "$manifest")"/LICEN[CS]E* "$(dirname "$manifest")"/license* "$(dirname "$manifest")"/COPYING* \
        "$(dirname "$manifest")"/NOTICE* "$(dirname "$manifest")"/UNLICENSE*; do
        [ -f "$file" ] || continue
        found=yes
        sum="$(sha256sum <"$file" | cut -c 1-64)"
        cp "$file" "$work/texts/$sum"
        echo "$crate (${file##*/})" >>"$work/texts/$sum.crates"
    done
    [ -n "$found" ] || echo "$crate: $licence; the crate has no licence file" >>"$work/bare"
done <"$work/crates"
{
    echo "Licences of the Rust crates in the programs of pixi-game-server."
    if [ -e "$work/bare" ]; then
        printf '\n'
        cat "$work/bare"
    fi
    for names in $(grep -c '' "$work"/texts/*.crates | sort -t : -k 2,2nr -k 1,1 | cut -d : -f 1); do
        printf '\n================================================================================\n'
        cat "$names"
        printf -- '--------------------------------------------------------------------------------\n\n'
        cat "${names%.crates}"
    done
} >"$2"
