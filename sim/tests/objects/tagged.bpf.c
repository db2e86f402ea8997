// SPDX-License-Identifier: BSD-2-Clause
/* What loaders other than libbpf take: sections of their own names, static functions as programs, tags that say which
 * slot of a prog array a program fills. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define tag(text) __attribute__((btf_decl_tag(text)))

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
	__uint(max_entries, 8);
	__uint(pinning, 16);
} calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1);
} numbers SEC(".maps");

tag("kind:node") SEC(".rodata.config") const volatile __u32 config_answer = 42;
__u32 seen SEC(".bss.counters");

tag("tail:calls/3") SEC("tc/tail") int three(struct __sk_buff *skb)
{
	return config_answer;
}

/* Nobody loads it unless asked: its slot stays empty. */
tag("tail:calls/4") SEC("?tc/tail") int four(struct __sk_buff *skb)
{
	return 4;
}

tag("tail:calls/5") SEC("tc/tail") static int five(struct __sk_buff *skb)
{
	seen += 1;
	return 5;
}

tag("tail:calls") SEC("tc/tail") int no_slot(struct __sk_buff *skb)
{
	return 0;
}

tag("tail:call/1") SEC("tc/tail") int no_map(struct __sk_buff *skb)
{
	return 0;
}

tag("tail:numbers/0") SEC("tc/tail") int no_prog_array(struct __sk_buff *skb)
{
	return 0;
}

tag("tail:calls/3") SEC("tc/tail") int taken(struct __sk_buff *skb)
{
	return 0;
}

/* The same function by another name. */
asm(".globl entry_alias\n"
    ".type entry_alias, @function\n"
    ".set entry_alias, entry\n"
    ".size entry_alias, 48");

SEC("tc/entry") int entry(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &calls, skb->mark);
	return 7;
}

static __noinline int thrice(int x)
{
	return x * 3;
}

SEC("xdp_main") static int alone(struct xdp_md *xdp)
{
	return thrice(xdp->rx_queue_index);
}

SEC("mine") int untyped(struct __sk_buff *skb)
{
	return thrice(skb->len);
}

SEC("fentry/some_function") int tracing(void *ctx)
{
	return 0;
}

SEC("struct_ops/callback") int implementation(void *ctx)
{
	return 0;
}

struct ops {
	int (*callback)(void *ctx);
	int more;
};
SEC(".struct_ops.link") struct ops my_ops = { .callback = implementation };

char _license[] SEC("license") = "Dual BSD/GPL";
