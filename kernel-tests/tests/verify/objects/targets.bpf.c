// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* A program whose target no kernel has, and one that needs none. */
#include "abi.h"

SEC("fentry/no_such_kernel_function")
int no_target(void *ctx)
{
	return !ctx;
}

SEC("tc")
int target(struct __sk_buff *skb)
{
	return skb->len & 1;
}

char _license[] SEC("license") = "GPL";
