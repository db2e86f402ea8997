// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* An object that leaves to its loader what others say themselves: how many elements a map has room for, and what type its
 * program is. */
#include "abi.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

SEC("loadbalancer")
int spread(struct __sk_buff *skb)
{
	__u32 slot = skb->len % 100;
	__u64 *count = bpf_map_lookup_elem(&counts, &slot);
	if (!count)
		return 1000;
	*count += 1;
	return slot;
}

char _license[] SEC("license") = "GPL";
