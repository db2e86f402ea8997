// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* A program no verifier accepts: it reads where nothing is. */
#include "unit.h"

CHECK("tc", "fault") int fault(struct __sk_buff *skb)
{
	__u32 *at = (void *)(long)skb->data_end;

	return at[1000] ? CODE_PASS : CODE_FAIL;
}

CHECK("tc", "good") int good(struct __sk_buff *skb)
{
	return CODE_PASS;
}
