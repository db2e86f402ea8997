// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* One half of an object that libbpf's linker makes; the other is linked_b.bpf.c. Neither uses a map of the other: the linker
 * gives those a wrong place in .maps (libbpf 1.5). */
#include "abi.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 4);
} ours SEC(".maps");

extern __u32 their_variable;
extern int their_function(int x);
static __u32 both_have_one = 3;

/* Overridden by the other half. */
__attribute__((weak)) __noinline int hook(int x)
{
	return -x;
}

__u32 our_variable = 5;

__noinline int our_function(int x)
{
	__u32 key = x;
	__u32 *value = bpf_map_lookup_elem(&ours, &key);

	return x + both_have_one + (value ? *value : 0);
}

SEC("tc") int first(struct __sk_buff *skb)
{
	__u32 key = skb->mark, value = our_variable;

	both_have_one += 1;
	bpf_map_update_elem(&ours, &key, &value, BPF_ANY);
	skb->mark = hook(skb->mark);
	return their_function(skb->len) + their_variable;
}

char _license[] SEC("license") = "GPL";
