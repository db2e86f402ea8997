// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What no verifier accepts: a packet read without a bounds check. */
#include "kernel.h"

SEC("tc")
int careless(struct __sk_buff *skb)
{
	return *(__u8 *)(long)skb->data;
}

SEC("tc")
int careful(struct __sk_buff *skb)
{
	return skb->len;
}

char _license[] SEC("license") = "Dual BSD/GPL";
