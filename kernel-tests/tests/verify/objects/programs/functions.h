/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Global functions, verified once for all their callers, that become inline. */
#include "shared.h"

GLOBAL __u32 mix(__u32 seed)
{
	struct block *b = block(3);

	if (!b) /* grows */
		return seed;
	ROLLED
	for (int i = 0; i < 64; i++) /* grows */
		seed = (seed ^ b->bytes[i]) * 16777619; /* grows */
	return seed;
}

SEC("tc")
int global_hash(struct __sk_buff *skb)
{
	return (mix(skb->len) + mix(skb->mark) + mix(skb->hash) + mix(skb->priority)) & 1; /* grows */
}

GLOBAL int kind(__u32 word)
{
	int found = 0;

	if (word & 1) /* grows */
		found += 3; /* grows */
	if (word & 2) /* grows */
		found += 5; /* grows */
	if (word & 4) /* grows */
		found += 7; /* grows */
	if (word & 8) /* grows */
		found ^= 11; /* grows */
	return found; /* grows */
}

SEC("tc")
int global_kinds(struct __sk_buff *skb)
{
	int a = kind(skb->mark), b = kind(skb->len), c = kind(skb->hash); /* grows */

	return a == b && b != c; /* grows */
}

GLOBAL __u32 fold(__u32 number, __u32 sum)
{
	struct block *b = block(number & 3);

	if (!b) /* grows */
		return sum;
	ROLLED
	for (int i = 0; i < 80; i += 2) /* grows */
		sum += b->bytes[i] << 8 | b->bytes[i + 1]; /* grows */
	return (sum & 0xffff) + (sum >> 16); /* grows */
}

SEC("tc")
int global_checksum(struct __sk_buff *skb)
{
	__u32 sum = 0;

	if (skb->protocol == 8)
		sum = fold(0, fold(1, skb->len)); /* grows */
	else if (skb->protocol == 0xdd86)
		sum = fold(2, fold(3, skb->len)); /* grows */
	return sum & 1;
}
