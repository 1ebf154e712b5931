#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test-admin-delete.sh - the question that delete asks on a terminal, what counts as a yes, and what is
# not deleted.
# lsvd-test: labels=quick
. "$(dirname "$0")/functions-admin.sh"
begin
config

# on_terminal ANSWER ARGUMENTS...: runs lsvd-admin with a terminal as its input and messages, types
# the answer once the question stands there; "EOF" ends the input. Messages in err, output in out.
on_terminal() {
	python3 - "$tmp" "$admin" "$@" <<-'PY'
	import os, pty, subprocess, sys
	tmp, admin, answer, *arguments = sys.argv[1:]
	master, slave = pty.openpty()
	with open(tmp + "/out", "wb") as out:
	    child = subprocess.Popen([admin] + arguments, stdin=slave, stderr=slave, stdout=out)
	os.close(slave)
	typed, said = False, b""
	while True:
	    try:
	        part = os.read(master, 4096)
	    except OSError:   # the other side is closed
	        part = b""
	    if not part:
	        break
	    said += part
	    if not typed and b"[y/N] " in said:
	        os.write(master, b"\x04" if answer == "EOF" else answer.encode() + b"\n")
	        typed = True
	with open(tmp + "/err", "wb") as err:
	    err.write(said.replace(b"\r\n", b"\n"))
	sys.exit(child.wait())
	PY
}

# answer STATUS ANSWER ARGUMENTS...
answer() {
	local want=$1 status=0
	shift
	on_terminal "$@" || status=$?
	[[ $status = "$want" ]] || fail "answer '$1': status $status, expected $want"
}

expect 0 init -c lsvd.conf -n test -s 2T -u 0a1b2c3d-0000-4000-8000-00000000000f
before=$(fingerprint store)
for no in n no '' N x yesss ' y' EOF "$(printf 'y%.0s' {1..60})"; do
	answer 1 "$no" delete -c lsvd.conf -n test
	says 'Delete volume test (2 TiB, uuid 0a1b2c3d-0000-4000-8000-00000000000f) and all its data?'
	says 'volume test: not deleted'
	[[ ! -s out ]] || fail "output though nothing was deleted"
	[[ $(fingerprint store) = "$before" ]] || fail "answer '$no' has changed the store"
done
answer 1 y delete -c lsvd.conf -n nobody
! grep -qF '[y/N]' err || fail "asked about a volume that is not there"

answer 0 y delete -c lsvd.conf -n test --json
is 'o["deleted"] is True'
expect 1 inspect -c lsvd.conf -n test
expect 0 init -c lsvd.conf -n test -s 1M
answer 0 yes delete -c lsvd.conf -n test
prints 'volume test deleted'
expect 0 init -c lsvd.conf -n test -s 1M
answer 0 never-typed delete -c lsvd.conf -n test --yes
! grep -qF '[y/N]' err || fail "asked in spite of --yes"

# What stays is counted whatever letters the UUID is written in.
expect 0 init -c lsvd.conf -n test -s 1M -u 0a1b2c3d-0000-4000-8000-0000000000ff
expect 0 seal -c lsvd.conf -n test
expect 0 delete -c lsvd.conf -n test --yes --json
is "o['claims_left'] > 0 and o['objects_left'] == 0"
claims=$(python3 -c 'import json; print(json.load(open("out"))["claims_left"])')
expect 0 delete -c lsvd.conf --uuid 0A1B2C3D-0000-4000-8000-0000000000FF --yes --json
is "o['claims_left'] == $claims and o['uuid'] == '0a1b2c3d-0000-4000-8000-0000000000ff'"

answer 1 n delete -c lsvd.conf --uuid 0A1B2C3D-0000-4000-8000-0000000000FF
says 'Delete what is left of volume 0a1b2c3d-0000-4000-8000-0000000000ff? [y/N]'
says 'volume 0a1b2c3d-0000-4000-8000-0000000000ff: not deleted'

# Whether it is served must be known: a socket that cannot be asked is no sign that nobody listens.
expect 0 init -c lsvd.conf -n test -s 1M
ln -s test.ctl cache/test.ctl
expect 1 delete -c lsvd.conf -n test --yes
says 'volume test may be being served'
expect 1 clone -c lsvd.conf test other
says 'cache/test.ctl: '
expect 1 resize -c lsvd.conf -n test -s 2M
expect 0 delete -c lsvd.conf -n test --yes --force
