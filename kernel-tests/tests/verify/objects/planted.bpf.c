// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Every program of recorded.bpf.c after a change that costs. */
#define PLANTED
#include "programs/functions.h"
#include "programs/loops.h"
#include "programs/maps.h"

char _license[] SEC("license") = "GPL";
