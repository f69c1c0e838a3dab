#!/usr/bin/env bash
# Writes the server's bill of materials in CycloneDX format to target/sbom/pixi-game-server.cdx.json, and checks that it lists
# exactly the packages that cargo links into the server. The file is reproducible: it has no serial number and no time.
# Needs jq, and cargo-cyclonedx, which it installs when missing.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v jq >/dev/null || { echo "sbom.sh: needs jq (Debian: jq)" >&2; exit 1; }
command -v cargo-cyclonedx >/dev/null || cargo install cargo-cyclonedx --locked

folder=target/sbom name=pixi-game-server.cdx
mkdir -p "$folder"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# cargo-cyclonedx writes a file beside every manifest of the workspace, so it runs on a copy.
find . \( -path ./target -o -path ./fuzz -o -name node_modules \) -prune -o \( -name '*.toml' -o -name '*.rs' -o -name Cargo.lock \) -print0 |
  tar --create --null --files-from - | tar --extract --directory "$work"
(cd "$work" && cargo cyclonedx --quiet --format json --spec-version 1.5 --no-build-deps --override-filename "$name")

# cargo-cyclonedx resolves the features of the whole workspace: packages that only other programs need are removed.
linked="$(cargo tree --package pixi-game-server --edges normal --prefix none --format '{p}' --locked |
  sed -E 's/^(\S+) v(\S+).*/\1 \2/' | grep -v '^pixi-game-server ' | sort -u)"
sed "s|$(printf %s "$work" | sed 's/[].[*^$\\|]/\\&/g')|.|g" "$work/$name.json" | jq --sort-keys --arg linked "$linked" '
  ($linked | split("\n")) as $names |
  .components |= map(select("\(.name) \(.version)" as $name | $names | index($name))) |
  ([.components[]."bom-ref"] + [.metadata.component."bom-ref"]) as $kept |
  .dependencies |= (map(select(.ref as $ref | $kept | index($ref))) |
    map(if .dependsOn then .dependsOn |= map(select(. as $ref | $kept | index($ref))) else . end)) |
  del(.serialNumber, .metadata.timestamp)' >"$folder/$name.json"

listed="$(jq -r '.components[] | "\(.name) \(.version)"' "$folder/$name.json" | sort -u)"
if ! diff <(echo "$linked") <(echo "$listed") >&2; then
  echo "sbom.sh: lines with < are linked into the server but not listed" >&2
  exit 1
fi
echo "$folder/$name.json: $(echo "$listed" | wc -l) packages"
