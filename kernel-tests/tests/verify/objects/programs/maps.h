/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Map accesses that move. */
#include "shared.h"

SEC("tc")
int lookup_in_loop(struct __sk_buff *skb)
{
	__u32 key = skb->protocol;
	__u64 *counter = NULL;

#ifndef PLANTED
	counter = bpf_map_lookup_elem(&counters, &key);
	if (!counter)
		return 0;
#endif
	ROLLED
	for (int i = 0; i < 64; i++) {
#ifdef PLANTED
		counter = bpf_map_lookup_elem(&counters, &key); /* grows */
		if (!counter) /* grows */
			return 0;
#endif
		*counter += skb->len;
	}
	return 0;
}

SEC("tc")
int update_in_loop(struct __sk_buff *skb)
{
	__u32 key = skb->protocol;
	__u64 sum = 0;

	ROLLED
	for (int i = 0; i < 64; i++) {
		sum += skb->len ^ i;
#ifdef PLANTED
		bpf_map_update_elem(&counters, &key, &sum, BPF_ANY); /* grows */
#endif
	}
#ifndef PLANTED
	bpf_map_update_elem(&counters, &key, &sum, BPF_ANY);
#endif
	return 0;
}

SEC("tc")
int lookup_early(struct __sk_buff *skb)
{
	__u32 key = skb->protocol, score = 0;
	__u64 *counter;

#ifdef PLANTED
	counter = bpf_map_lookup_elem(&counters, &key); /* grows */
#endif
	ROLLED
	for (int i = 0; i < 40; i++) {
		if (skb->mark >> i & 1)
			score += 3;
#ifdef PLANTED
		if (counter) /* grows */
			*counter += score; /* grows */
#endif
	}
#ifndef PLANTED
	counter = bpf_map_lookup_elem(&counters, &key);
	if (counter)
		*counter += score;
#endif
	return 0;
}
