// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* A tail call that can be reached from one test only calls a helper that does not exist. */
#include "unit.h"

static long (*const no_such_helper)(void) = (void *)9999;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
	__uint(max_entries, 1);
} calls SEC(".maps");

TAIL("tc", calls, 0) int tail_unknown(struct __sk_buff *skb)
{
	return no_such_helper();
}

SETUP("tc", "needs_it") int needs_it_setup(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &calls, 0);
	return 0;
}

CHECK("tc", "needs_it") int needs_it_check(struct __sk_buff *skb)
{
	return CODE_PASS;
}

CHECK("tc", "does_without") int does_without(struct __sk_buff *skb)
{
	return CODE_PASS;
}
