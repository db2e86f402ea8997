// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Nothing but a skipped test. */
#include "unit.h"

CHECK("tc", "skipped") int skipped(struct __sk_buff *skb)
{
	return CODE_SKIP;
}
