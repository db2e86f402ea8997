// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What others define: the kernel's configuration, and kernel functions and variables that may not be there. */
#include "abi.h"

#define __ksym __attribute__((section(".ksyms")))
#define __kconfig __attribute__((section(".kconfig")))
#define __weak __attribute__((weak))

enum libbpf_tristate {
	TRI_NO = 0,
	TRI_YES = 1,
	TRI_MODULE = 2,
};

extern int LINUX_KERNEL_VERSION __kconfig;
extern _Bool LINUX_HAS_BPF_COOKIE __kconfig;
extern _Bool CONFIG_A_BOOL __kconfig;
extern enum libbpf_tristate CONFIG_A_TRISTATE __kconfig;
extern char CONFIG_A_CHAR __kconfig;
extern char CONFIG_A_STRING[6] __kconfig;
extern long CONFIG_A_LONG __kconfig;
extern unsigned short CONFIG_A_SHORT __kconfig __weak;
extern int CONFIG_NOWHERE __kconfig __weak;
extern _Bool CONFIG_BPF_SYSCALL __kconfig;

extern void bpf_function_of_no_kernel(int argument) __ksym __weak;
extern __u64 bpf_dynptr_slice_of_no_kernel(void *pointer) __ksym __weak;
extern const void variable_of_no_kernel __ksym __weak;

__u64 seen[12];
char text[8];

SEC("tc") int externs(struct __sk_buff *skb)
{
	/* The stable series; which release of it is the machine's. */
	seen[0] = LINUX_KERNEL_VERSION >> 8;
	seen[1] = CONFIG_A_BOOL;
	seen[2] = CONFIG_A_TRISTATE;
	seen[3] = CONFIG_A_CHAR;
	seen[4] = CONFIG_A_LONG;
	seen[5] = CONFIG_A_SHORT;
	seen[6] = CONFIG_NOWHERE;
	seen[7] = CONFIG_BPF_SYSCALL;
	for (int i = 0; i < 6; i++)
		text[i] = CONFIG_A_STRING[i];
	if (bpf_function_of_no_kernel)
		bpf_function_of_no_kernel(skb->len);
	else
		seen[8] = 1;
	if (bpf_dynptr_slice_of_no_kernel)
		seen[9] = bpf_dynptr_slice_of_no_kernel(skb);
	seen[10] = (unsigned long)&variable_of_no_kernel;
	seen[11] = LINUX_HAS_BPF_COOKIE;
	return CONFIG_A_BOOL ? 1 : 2;
}

char _license[] SEC("license") = "GPL";
