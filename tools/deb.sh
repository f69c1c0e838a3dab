#!/bin/sh
# Builds target/debian/pixi-game-server_VERSION_ARCHITECTURE.deb from the files that `make install` put below target/deb-root.
# DEB_COMPRESSION [xz] is the compression method of dpkg-deb. The programs keep their symbols, so that perf shows function names.
set -eu
cd "$(dirname "$0")/.."
tools/need.sh dpkg-deb:dpkg dpkg-shlibdeps:dpkg-dev jq:jq
target="$(realpath "${CARGO_TARGET_DIR:-target}")"
root="$target/deb-root" folder="$target/debian"
doc="$root/usr/share/doc/pixi-game-server"
version="$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)"
architecture="$(dpkg --print-architecture)"
# Reproducible: the same commit gives the same package.
SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}"
export SOURCE_DATE_EPOCH

mkdir -p "$folder" "$root/DEBIAN"
rm "$doc/LICENSE"
tools/copyright.sh "$doc/copyright" "$doc/third-party-licences.txt"
{
    printf 'pixi-game-server (%s) unstable; urgency=medium\n\n  * Changes for users are in CHANGELOG.md.\n\n' "$version"
    printf ' -- %s  %s\n' "$(sed -n 's/^Maintainer: //p' deploy/deb/control)" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n >"$doc/changelog.gz"
gzip -9n "$root"/usr/share/man/man8/*.8

# dpkg-shlibdeps requires a debian/control in the working directory.
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
mkdir "$work/debian"
: >"$work/debian/control"
libraries="$(cd "$work" && dpkg-shlibdeps -O "$root"/usr/bin/* 2>/dev/null | sed -n 's/^shlibs:Depends=//p')"

size="$(du -sk --apparent-size --exclude DEBIAN "$root" | cut -f 1)"
sed "s/@version@/$version/; s/@architecture@/$architecture/; s/@size@/$size/; s/@libraries@/$libraries/" \
    deploy/deb/control >"$root/DEBIAN/control"
install -m 755 deploy/deb/postinst deploy/deb/prerm deploy/deb/postrm "$root/DEBIAN"
(cd "$root" && find etc -type f | LC_ALL=C sort | sed 's|^|/|' >DEBIAN/conffiles)
(cd "$root" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
find "$root" -type d -exec chmod 755 {} +
package="$folder/pixi-game-server_${version}_$architecture.deb"
dpkg-deb --root-owner-group -Z"${DEB_COMPRESSION:-xz}" --build "$root" "$package" >/dev/null
echo "$package"
