# SPDX-License-Identifier: BSD-2-Clause
# bytes.sh - damage for the scripts of the tests; sourced.

# flip_byte FILE OFFSET: all bits of the byte there. Unlike a byte of one's choice it is never what
# was there before.
flip_byte() {
	/usr/bin/python3 -c 'import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(int(sys.argv[2]))
    byte = f.read(1)[0]
    f.seek(int(sys.argv[2]))
    f.write(bytes([byte ^ 0xff]))' "$1" "$2"
}
