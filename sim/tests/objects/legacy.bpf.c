// SPDX-License-Identifier: BSD-2-Clause
/* Map definitions before BTF: -DSHORT those of libbpf before 1.0, else those of iproute2. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct definition {
	__u32 type, key_size, value_size, max_entries, map_flags;
#ifndef SHORT
	__u32 id, pinning, inner_id, inner_idx;
#endif
};

struct definition counters SEC("maps") = {
	.type = BPF_MAP_TYPE_ARRAY,
	.key_size = 4,
	.value_size = 8,
	.max_entries = 2,
};

struct definition flows SEC("maps") = {
	.type = BPF_MAP_TYPE_HASH,
	.key_size = 6,
	.value_size = 4,
	.max_entries = 100,
	.map_flags = BPF_F_NO_PREALLOC,
#ifndef SHORT
	.id = 7,
	.pinning = 2,
#endif
};

SEC("classifier/ingress") int count(struct __sk_buff *skb)
{
	__u32 key = 1;
	__u64 *count = bpf_map_lookup_elem(&counters, &key);
	__u64 flow = skb->mark;

	if (count)
		*count += skb->len;
	return bpf_map_lookup_elem(&flows, &flow) ? 1 : 0;
}

char _license[] SEC("license") = "GPL";
