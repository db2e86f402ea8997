// Calls to kernel functions: strong, weak, and one whose address is asked for.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern int kernel_add(int a, int b) __ksym;
extern int kernel_add___other_flavour(int a, int b) __ksym __weak;
extern int kernel_gone(int a) __ksym __weak;

SEC("tc") int calls(struct __sk_buff *skb)
{
	int sum = kernel_add(1, 2);
	if (kernel_add___other_flavour)
		sum = kernel_add___other_flavour(sum, 10);
	if (kernel_gone)
		sum = kernel_gone(sum);
	return sum;
}

char _license[] SEC("license") = "GPL";
