// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* As little as still has every table: the one that is cut and mutated. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__array(values, int(void *));
} stages SEC(".maps");

int count = 1;

static __noinline int next(void *ctx)
{
	bpf_tail_call(ctx, &stages, 1);
	return count;
}

SEC("xdp")
int entry(void *ctx)
{
	return next(ctx) + 1;
}
