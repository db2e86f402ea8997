// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Programs that ask for types of the user-space ABI the way objects built with a vmlinux.h do. */
#include <stddef.h>
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef unsigned short __u16;
typedef unsigned char __u8;
#define SEC(name) __attribute__((section(name), used))

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct __sk_buff {
	__u32 mark;
	__u32 data;
	__u64 hwtstamp;
	__u32 never;
};
struct iphdr {
	__u8 ttl;
};
struct sk_buff {
	__u32 len;
};
enum bpf_func_id { BPF_FUNC_trace_printk = 6, BPF_FUNC_redirect = 7 };
#pragma clang attribute pop

#define FIELD_EXISTS 2
#define TYPE_SIZE 1
#define TYPE_ID_TARGET 1
#define ASK(name, expression) SEC("tc") long name(struct __sk_buff *skb) { return expression; }

ASK(mark, skb->mark)
ASK(data, skb->data)
ASK(last_member, __builtin_preserve_field_info(skb->hwtstamp, 0) + 4)
ASK(header_length, __builtin_preserve_type_info(*(struct iphdr *)0, TYPE_SIZE))
ASK(redirect, __builtin_preserve_enum_value(*(enum bpf_func_id *)BPF_FUNC_redirect, 1) - 16)
ASK(member_is_there, __builtin_preserve_field_info(skb->hwtstamp, FIELD_EXISTS))
ASK(member_is_absent, __builtin_preserve_field_info(skb->never, FIELD_EXISTS))
ASK(inside, ((struct sk_buff *)skb)->len)
ASK(number, __builtin_btf_type_id(*(struct iphdr *)0, TYPE_ID_TARGET))
