// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* One of everything an object file can say. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum verdict { PASS = 0, DENY = 2 };

struct key {
	__u32 addr;
	__u16 port;
	__u8 proto;
	__u8 pad : 3, dir : 5;
};

struct value {
	struct bpf_spin_lock lock;
	enum verdict verdict;
	union {
		__u64 packets;
		__u8 mac[6];
	};
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct key);
	__type(value, struct value);
	__uint(max_entries, 1000);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} flows_by_address SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 5000);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} perf SEC(".maps") __attribute__((btf_decl_tag("drops")));

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 4);
} first SEC(".maps"), second SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 3);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { [0] = &first, [2] = &second } };

int after(struct __sk_buff *skb);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 8);
	__uint(key_size, 4);
	__array(values, int(struct __sk_buff *));
} stages SEC(".maps") = { .values = { [5] = &after } };

const volatile __u32 limit = 7;
const volatile __u32 ports[2] SEC(".rodata.config") = { 80, 443 };
__u64 state = 0x1122334455667788;
static __u32 hidden;
__u64 seen[2];
__u32 colour SEC(".data.paint") = 3;

extern __u32 LINUX_KERNEL_VERSION __kconfig;
extern __u32 CONFIG_HZ __kconfig __weak;
extern _Bool CONFIG_BPF __kconfig __weak;
extern const int weak_variable __ksym __weak;
extern int weak_function(int) __ksym __weak;

static __noinline __u64 twice(__u64 x)
{
	asm volatile("" : "+r"(x));
	return x * 2;
}

__noinline __u64 thrice(__u64 x)
{
	return twice(x) + x;
}

static long each(__u32 i, void *total)
{
	*(__u64 *)total += thrice(i);
	return 0;
}

SEC("tc")
int main_prog(struct __sk_buff *skb)
{
	__u64 total = limit + ports[1];

	bpf_loop(4, each, &total, 0);
	hidden += skb->len;
	seen[1] += total + state + hidden;
	if (colour == 3)
		bpf_tail_call(skb, &stages, 5);
	return seen[1];
}

SEC("tc")
int after(struct __sk_buff *skb)
{
	struct key key = { .addr = skb->mark };
	struct value *value = bpf_map_lookup_elem(&flows_by_address, &key);

	return value ? value->verdict : thrice(LINUX_KERNEL_VERSION >> 8) + CONFIG_HZ + CONFIG_BPF;
}

SEC("?xdp.frags")
int optional(struct xdp_md *xdp)
{
	if (&weak_variable)
		return weak_variable;
	if (weak_function)
		return weak_function(1);
	bpf_perf_event_output(xdp, &perf, 0, &xdp->data, 4);
	bpf_ringbuf_output(&events, (void *)&limit, 4, 0);
	return XDP_PASS;
}

SEC("cgroup_skb/egress")
int egress(struct __sk_buff *skb)
{
	__u32 zero = 0;
	void *inner = bpf_map_lookup_elem(&outer, &zero);

	return inner && bpf_map_lookup_elem(inner, &zero);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
__u32 kernel_version SEC("version") = 0x0006120c;
