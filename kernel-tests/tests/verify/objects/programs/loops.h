/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Loops whose bound doubles. */
#include "shared.h"

SEC("tc")
int loop_sum(struct __sk_buff *skb)
{
	struct block *b = block(0);
	__u32 sum = 0;

	if (!b)
		return 0;
	ROLLED
	for (int i = 0; i < TIMES(200); i++) /* grows */
		sum += b->bytes[i] ^ skb->len; /* grows */
	return sum & 1;
}

SEC("tc")
int loop_until_zero(struct __sk_buff *skb)
{
	struct block *b = block(1);
	int i;

	if (!b)
		return 0;
	ROLLED
	for (i = 0; i < TIMES(200); i++) { /* grows */
		if (b->bytes[i] == (__u8)skb->mark) /* grows */
			break;
	}
	return i & 1;
}

SEC("tc")
int loop_headers(struct __sk_buff *skb)
{
	__u8 *at = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u8 next = skb->protocol;

	ROLLED
	for (int i = 0; i < TIMES(8); i++) { /* grows */
		if (at + 8 > end) /* grows */
			return 0;
		if (next == 44) { /* grows */
			next = at[0]; /* grows */
			at += 8; /* grows */
		} else if (next == 60) { /* grows */
			next = at[0]; /* grows */
			at += at[1] & 7; /* grows */
		} else {
			return next & 1;
		}
	}
	return 0;
}

SEC("tc")
int loop_nested(struct __sk_buff *skb)
{
	struct block *b = block(2);
	__u32 sum = 0;

	if (!b)
		return 0;
	ROLLED
	for (int row = 0; row < TIMES(16); row++) { /* grows */
		ROLLED
		for (int column = 0; column < 16; column++) /* grows */
			sum += b->bytes[row * 16 + column] ^ skb->mark; /* grows */
	}
	return sum & 1;
}
