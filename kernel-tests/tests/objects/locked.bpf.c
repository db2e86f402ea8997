// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Arrays whose values hold a spin lock, alone and inside a map of maps: user space cannot map them. */
#include "kernel.h"

struct guarded {
	__u32 count;
	struct bpf_spin_lock lock;
};

struct guarded_array {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct guarded);
};

struct guarded_array direct SEC(".maps");
struct guarded_array inner SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct guarded_array);
} outer SEC(".maps") = { .values = { [0] = &inner } };

static __always_inline int add(void *map, __u32 by)
{
	__u32 zero = 0;
	struct guarded *value = map ? bpf_map_lookup_elem(map, &zero) : NULL;

	if (!value)
		return TC_ACT_SHOT;
	bpf_spin_lock(&value->lock);
	value->count += by;
	bpf_spin_unlock(&value->lock);
	return TC_ACT_OK;
}

SEC("tc")
int count(struct __sk_buff *skb)
{
	__u32 zero = 0;

	return add(&direct, skb->len ? 1 : 0) + add(bpf_map_lookup_elem(&outer, &zero), 2);
}

char _license[] SEC("license") = "Dual BSD/GPL";
