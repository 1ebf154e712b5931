#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test-outside.sh - a program built with nothing but pkg-config against an installed prefix creates a
# volume, writes, flushes, is killed, opens again and finds everything.
set -euo pipefail
. "$(dirname "$0")/installed.sh"
cp "$source/tests/api/outside.c" "$work/"
cd "$work"
"${CC:-cc}" -std=gnu99 -Wall -Werror -o outside outside.c $(pkg-config --cflags --libs lsvd)

mkdir data
for round in 1 2; do
	rm -rf data/*
	mkfifo said
	./outside write "$PWD/data" >said &
	writer=$!
	# The line comes when everything is acknowledged; end of file means that it has failed.
	read -r line <said || true
	rm said
	[ "$line" = written ] || { echo "the writer said '$line'"; wait "$writer"; exit 1; }
	kill -KILL "$writer"
	{ wait "$writer"; } 2>/dev/null || true
	./outside verify "$PWD/data"
	./outside verify "$PWD/data"
done
