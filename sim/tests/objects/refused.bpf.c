// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Mistakes, one per object: build.sh compiles each with -DCASE. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifdef legacy_maps
struct bpf_map_def {
	unsigned int type, key_size, value_size, max_entries, map_flags, more;
};
struct bpf_map_def SEC("maps") old = { BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0, 7 };
#endif

#ifdef static_map
static struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
} table SEC(".maps");
void *use = &table;
#endif

#ifdef map_without_type
struct {
	__uint(max_entries, 1);
} table SEC(".maps");
#endif

#ifdef map_attribute_unknown
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(size, 4);
} table SEC(".maps");
#endif

#ifdef map_sizes_differ
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__uint(key_size, 8);
} table SEC(".maps");
#endif

#ifdef map_refused_by_kernel
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u64);
	__type(value, __u64);
	__uint(max_entries, 1);
} table SEC(".maps");
#endif

#ifdef map_not_modelled
struct bpf_list_node {
	__u64 opaque[3];
};
struct node {
	struct bpf_list_node node;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct node);
	__uint(max_entries, 1);
} table SEC(".maps");
SEC("tc") int prog(void *ctx)
{
	__u32 key = 0;
	return bpf_map_lookup_elem(&table, &key) != 0;
}
#endif

#ifdef tail_call_to_subprogram
int sub(void *ctx)
{
	return 0;
}
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__array(values, int(void *));
} table SEC(".maps") = { .values = { [0] = &sub } };
#endif

#ifdef prog_array_of_unloaded
int later(void *ctx);
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__array(values, int(void *));
} table SEC(".maps") = { .values = { [0] = &later } };
SEC("?xdp")
int later(void *ctx)
{
	return 0;
}
#endif

#ifdef prog_array_of_two_types
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} table SEC(".maps");
SEC("xdp")
int one(void *ctx)
{
	bpf_tail_call(ctx, &table, 0);
	return 0;
}
SEC("tc")
int two(void *ctx)
{
	bpf_tail_call(ctx, &table, 0);
	return 0;
}
#endif

#ifdef undefined_function
int elsewhere(int);
SEC("xdp")
int prog(void *ctx)
{
	return elsewhere(1);
}
#endif

#ifdef undefined_variable
extern int elsewhere;
SEC("xdp")
int prog(void *ctx)
{
	return elsewhere;
}
#endif

#ifdef section_unknown
SEC("2/5")
int prog(void *ctx)
{
	return 0;
}
#endif

#ifdef kernel_function
extern void *bpf_cast_to_kern_ctx(void *) __ksym;
SEC("tc")
int prog(void *ctx)
{
	return bpf_cast_to_kern_ctx(ctx) != 0;
}
#endif

#ifdef kernel_variable
extern const int jiffies __ksym;
SEC("tc")
int prog(void *ctx)
{
	return jiffies;
}
#endif

#ifdef config_not_set
extern int CONFIG_LOG_BUF_SHIFT __kconfig;
SEC("tc")
int prog(void *ctx)
{
	return CONFIG_LOG_BUF_SHIFT;
}
#endif

#ifdef kernel_types
struct task_struct {
	int pid;
} __attribute__((preserve_access_index));
SEC("tc")
int prog(struct task_struct *task)
{
	return task->pid;
}
#endif

#ifdef helper_refused
SEC("tc")
int prog(void *ctx)
{
	return bpf_get_current_pid_tgid();
}
#endif

#if defined(no_types) || defined(stripped) || defined(big_endian)
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
} table SEC(".maps");
SEC("xdp")
int prog(void *ctx)
{
	return bpf_map_lookup_elem(&table, ctx) != 0;
}
#endif
