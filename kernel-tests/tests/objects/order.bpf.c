// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Writes down the keys of a hash in the order bpf_for_each_map_elem() visits them. */
#include "kernel.h"

#define MOST 64

struct numbers {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MOST);
	__type(key, __u32);
	__type(value, __u32);
};

struct numbers numbers SEC(".maps");
struct numbers inner SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct numbers);
} outer SEC(".maps") = { .values = { [0] = &inner } };

struct visited {
	__u32 keys[MOST];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct visited);
} visited SEC(".maps");

static long note(void *map, const __u32 *key, __u32 *value, __u32 *count)
{
	__u32 zero = 0, at = *count;
	struct visited *all = bpf_map_lookup_elem(&visited, &zero);

	if (!map || !value || !all || at >= MOST)
		return 1;
	all->keys[at] = *key;
	*count = at + 1;
	return 0;
}

SEC("tc")
int walk(struct __sk_buff *skb)
{
	__u32 count = 0;

	return skb ? bpf_for_each_map_elem(&numbers, note, &count, 0) : 0;
}

SEC("tc")
int walk_inner(struct __sk_buff *skb)
{
	__u32 zero = 0, count = 0;
	void *map = bpf_map_lookup_elem(&outer, &zero);

	return skb && map ? bpf_for_each_map_elem(map, note, &count, 0) : 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
