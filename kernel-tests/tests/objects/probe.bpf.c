// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* One of everything a report tells about: each kind of map, both kinds of buffers, globals, tail calls, routes. */
#include "kernel.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} cpu_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, __u32);
} seen SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, __u32);
} limits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__uint(value_size, 4);
} stages SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
};

struct inner first SEC(".maps");
struct inner second SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { [0] = &first } };

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4);
	__uint(key_size, 0);
	__type(value, __u32);
} queue SEC(".maps");

/* What bpf_fib_lookup() answered. */
struct route {
	__s32 code;
	struct bpf_fib_lookup fib;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct route);
} route SEC(".maps");

const volatile __u32 verdict = TC_ACT_OK;
__u32 step = 1;
__u32 last_len;

/* Touches everything; returns the verdict plus the inner map's number. */
SEC("tc")
int classify(struct __sk_buff *skb)
{
	__u32 zero = 0, mark = skb->mark, len = skb->len;
	__u64 *count = bpf_map_lookup_elem(&counts, &zero);
	__u32 *cpu_count = bpf_map_lookup_elem(&cpu_counts, &zero);
	void *inner = bpf_map_lookup_elem(&outer, &zero);
	__u32 *number = inner ? bpf_map_lookup_elem(inner, &zero) : NULL;

	last_len = len;
	if (count)
		*count += step;
	if (cpu_count)
		*cpu_count += 1;
	if (len == 14)
		bpf_map_delete_elem(&seen, &mark);
	else
		bpf_map_update_elem(&seen, &mark, &len, BPF_ANY);
	bpf_perf_event_output(skb, &events, BPF_F_CURRENT_CPU | 3ULL << 32, &mark, sizeof(mark));
	bpf_ringbuf_output(&ring, &len, 3, 0);
	bpf_ringbuf_output(&ring, &mark, 4, 0);
	bpf_map_push_elem(&queue, &mark, 0);
	skb->mark = mark + 1;
	return verdict + (number ? *number : 1000);
}

SEC("tc")
int stage(struct __sk_buff *skb)
{
	return skb->len;
}

SEC("tc")
int dispatch(struct __sk_buff *skb)
{
	__u32 zero = 0;
	__u32 *slot = bpf_map_lookup_elem(&limits, &zero);

	bpf_tail_call(skb, &stages, slot ? *slot : 0);
	return 99;
}

SEC("xdp")
int prefilter(struct xdp_md *xdp)
{
	return (void *)(long)xdp->data + 60 > (void *)(long)xdp->data_end ? XDP_DROP : XDP_PASS;
}

/* Sends more than any buffer holds. */
SEC("tc")
int flood(struct __sk_buff *skb)
{
	static const char record[4000];

	for (int i = 0; i < 200; i++)
		bpf_perf_event_output(skb, &events, BPF_F_CURRENT_CPU, (void *)record, sizeof(record));
	return TC_ACT_OK;
}

/*
 * Looks up where the packet's destination goes, as seen from the device in the mark, for the length in cb[0], with the
 * priority as flags and cb[1] as the table.
 */
SEC("tc")
int lookup_route(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct route *found = bpf_map_lookup_elem(&route, &zero);
	struct bpf_fib_lookup *fib;

	if (!found)
		return TC_ACT_SHOT;
	fib = &found->fib;
	memset(fib, 0, sizeof(*fib));
	fib->ifindex = skb->mark;
	fib->tot_len = skb->cb[0];
	if (skb->protocol == htons(0x0800)) {
		fib->family = AF_INET;
		bpf_skb_load_bytes(skb, 14 + 12, fib->src, 4);
		bpf_skb_load_bytes(skb, 14 + 16, fib->dst, 4);
	} else {
		fib->family = AF_INET6;
		bpf_skb_load_bytes(skb, 14 + 8, fib->src, 16);
		bpf_skb_load_bytes(skb, 14 + 24, fib->dst, 16);
	}
	fib->tbid = skb->cb[1];
	found->code = bpf_fib_lookup(skb, fib, sizeof(*fib), skb->priority);
	return TC_ACT_OK;
}

char _license[] SEC("license") = "Dual BSD/GPL";
