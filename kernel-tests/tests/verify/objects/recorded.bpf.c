// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Programs as somebody recorded them. */
#include "programs/functions.h"
#include "programs/loops.h"
#include "programs/maps.h"

char _license[] SEC("license") = "GPL";
