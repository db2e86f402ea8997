// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The other half of linked_a.bpf.c. */
#include "abi.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 2);
} theirs SEC(".maps");

extern __u32 our_variable;
extern int our_function(int x);
static __u32 both_have_one = 7;
__u32 their_variable = 11;

__noinline int hook(int x)
{
	return x * 2;
}

__noinline int their_function(int x)
{
	return x * both_have_one;
}

SEC("tc") int second(struct __sk_buff *skb)
{
	__u32 key = 1;
	__u64 *value = bpf_map_lookup_elem(&theirs, &key);

	if (value)
		*value += our_variable;
	return our_function(hook(skb->len));
}

char _license[] SEC("license") = "GPL";
