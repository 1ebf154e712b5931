#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# sim.sh - random crashes of a whole volume in the simulator: -n RUNS [--seed FIRST]
#
# First one workload, in which all that can be done to a volume is done, is crashed at each of its requests.
# Then each run is a workload of its own seed, crashed at four places, every kind of loss tried at each. A
# run that fails prints its seed: LSVD_TEST_SEED=SEED LSVD_SIM_RUNS=1 LSVD_SIM_TRACE=1 repeats it.
set -euo pipefail
runs=1000 seed=$((RANDOM * 1000000 + RANDOM * 100))
while [ $# -gt 0 ]; do
	case $1 in
	-n) runs=$2; shift 2 ;;
	--seed) seed=$2; shift 2 ;;
	*) echo "usage: tests/campaign sim -n RUNS [--seed FIRST]" >&2; exit 2 ;;
	esac
done
echo "seeds $seed to $((seed + runs - 1))"
program=$(find "$LSVD_BUILD_DIR" -name test_sim_volume -type f -perm -1 | head -1)
export CK_FORK=no
CK_RUN_CASE=script LSVD_SIM_STRIDE=1 LSVD_SIM_SEED=$seed "$program"
CK_RUN_CASE=random LSVD_SIM_RUNS=$runs LSVD_TEST_SEED=$seed exec "$program"
