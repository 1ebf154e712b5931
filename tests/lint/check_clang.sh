#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# check_clang.sh - a second compiler reads every source with the same warnings, and its analysis of
# locks follows the annotations.
set -euo pipefail
source=${LSVD_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${LSVD_BUILD_DIR:-$source/build}
clang=$(command -v clang-14 || command -v clang) || { echo "clang is not installed"; exit 77; }
cd "$build"

# The build's own command lines, less what only gcc understands.
python3 - "$source" <<'PY' >commands.clang
import json, shlex, sys
gcc_only = ("-fno-sanitize-recover", "-fsanitize", "-fstack-clash-protection")
for entry in json.load(open("compile_commands.json")):
    if not entry["file"].startswith((sys.argv[1] + "/lib/", sys.argv[1] + "/tools/")):
        continue
    words = shlex.split(entry["command"])[1:]
    out = words.index("-o")
    del words[out:out + 2]
    words = [w for w in words if w != "-c" and not w.startswith(gcc_only)]
    print(shlex.join(words))
PY
[ -s commands.clang ] || { echo "no command lines in $build"; exit 1; }
faults=0
while IFS= read -r words; do
	eval "$clang" -fsyntax-only -Wthread-safety -Wno-unknown-warning-option \
		-Wno-unused-command-line-argument -Werror "$words" || faults=1
done <commands.clang
[ "$faults" = 0 ] && echo "$(wc -l <commands.clang) sources without a warning from clang"
exit "$faults"
