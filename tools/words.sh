#!/usr/bin/env bash
# Finds phrases that docs/LEXICON.md replaces: words.sh [FOLDER]. Status 1 if there is one.
set -euo pipefail
cd "$(dirname "$0")/.."
list=$PWD/tools/words.txt
cd "${1:-.}"

found=0
while IFS=$'\t' read -r phrase instead; do
  case "$phrase" in '' | '#'*) continue ;; esac
  # The changelog quotes replaced log lines.
  if hits=$(grep -rnIPi --exclude-dir={.git,target,node_modules,results,fixtures,seeds} \
    --exclude={words.txt,CHANGELOG.md,Cargo.lock,package-lock.json,LICENSE,'*.svg'} -- "$phrase" .); then
    printf '%s\n    use instead: %s\n' "$hits" "$instead" >&2
    found=1
  fi
done < "$list"
exit "$found"
