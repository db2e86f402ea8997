//! The `.kconfig` map: what `__kconfig` variables hold (`bpf_object__resolve_externs`, libbpf.c).

use super::{LoadError, LoadOptions};
use crate::bpf::object::{Extern, ExternKind, KconfigValue, Object};
use crate::uapi::{self, Release};

/// The bytes of the map; `size` is its value's.
pub(super) fn contents(
    object: &Object,
    options: &LoadOptions,
    release: Release,
    size: usize,
) -> Result<Vec<u8>, LoadError> {
    let mut bytes = vec![0; size];
    for declared in &object.externs {
        let ExternKind::Kconfig { offset, size, value } = declared.kind else { continue };
        let fail = |what: String| LoadError::Extern { name: declared.name.clone(), what };
        let Some(known) = known(declared, options, release).map_err(fail)? else { continue };
        let written = encode(&known, value, size as usize).map_err(fail)?;
        bytes[offset as usize..][..written.len()].copy_from_slice(&written);
    }
    Ok(bytes)
}

/// A value as text of a kernel configuration; `None` for a weak variable nobody sets, which is zero.
fn known(declared: &Extern, options: &LoadOptions, release: Release) -> Result<Option<String>, String> {
    let name = declared.name.as_str();
    if name.starts_with("CONFIG_") {
        let given = options.kconfig.iter().rfind(|(option, _)| option == name);
        let value = given.map(|(_, value)| value.as_str()).or_else(|| uapi::kconfig(name));
        return match value {
            Some(value) => Ok(Some(value.to_owned())),
            None if declared.weak => Ok(None),
            None => Err("is not set in the kernel described; declare it __weak, or set it in the scenario's `kconfig` or \
                         with --kconfig"
                .into()),
        };
    }
    match name {
        "LINUX_KERNEL_VERSION" => {
            Ok(Some(options.kernel_version.unwrap_or_else(|| release.kernel_version()).to_string()))
        }
        // Every kernel described here has cookies (5.15) and x86-64's wrapped system calls.
        "LINUX_HAS_BPF_COOKIE" | "LINUX_HAS_SYSCALL_WRAPPER" => {
            let yes = matches!(declared.kind, ExternKind::Kconfig { value: KconfigValue::Bool, .. });
            Ok(Some(if yes { "y" } else { "1" }.into()))
        }
        _ if name.starts_with("LINUX_") && declared.weak => Ok(None),
        _ => Err("is neither CONFIG_* nor one of libbpf's LINUX_* values".into()),
    }
}

/// `set_kcfg_value_num`, `_tri` and `_str`, libbpf.c.
fn encode(text: &str, value: KconfigValue, size: usize) -> Result<Vec<u8>, String> {
    let wrong = |expected: &str| Err(format!("has value {text}, and its type holds {expected}"));
    match (text, value) {
        ("y", KconfigValue::Bool) => Ok(vec![1]),
        ("n", KconfigValue::Bool) => Ok(vec![0]),
        ("y" | "m" | "n", KconfigValue::Tristate) => {
            let number: u32 = if text == "y" {
                1
            } else if text == "m" {
                2
            } else {
                0
            };
            let mut bytes = number.to_le_bytes().to_vec();
            bytes.resize(size, 0);
            Ok(bytes)
        }
        ("y" | "m" | "n", KconfigValue::Char { .. }) => Ok(text.as_bytes().to_vec()),
        (_, KconfigValue::CharArray) => {
            let inner = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
            let Some(inner) = inner else { return wrong("a string") };
            // Longer ones are cut, as libbpf does with a warning.
            Ok(inner.bytes().take(size - 1).chain([0]).collect())
        }
        (_, KconfigValue::Bool) => wrong("y or n"),
        (_, KconfigValue::Int { signed } | KconfigValue::Char { signed }) => {
            let Some(number) = strtoull(text) else { return wrong("a number") };
            let bits = 8 * size;
            // `is_kcfg_value_in_range`: a negative number is a large one.
            let in_range = match (bits, signed) {
                (64, _) => true,
                (_, true) => number.wrapping_add(1 << (bits - 1)) < 1 << bits,
                (_, false) => number >> bits == 0,
            };
            if !in_range {
                return wrong(&format!("{bits} bits, {}", if signed { "signed" } else { "unsigned" }));
            }
            Ok(number.to_le_bytes()[..size].to_vec())
        }
        (_, KconfigValue::Tristate) => wrong("y, m or n"),
    }
}

/// C's `strtoull` of all of `text`, to base 10, or 16 after `0x`, or 8 after `0`.
fn strtoull(text: &str) -> Option<u64> {
    let text = text.trim_start();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, base) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&digits[2..], 16),
        [b'0', _, ..] => (&digits[1..], 8),
        _ => (digits, 10),
    };
    // `from_str_radix` would take a second sign.
    if !digits.starts_with(|first: char| first.is_digit(base)) {
        return None;
    }
    let number = u64::from_str_radix(digits, base).ok()?;
    Some(if negative { number.wrapping_neg() } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_libbpf_writes_them() {
        let int = KconfigValue::Int { signed: false };
        let table: [(&str, KconfigValue, usize, Option<&[u8]>); 23] = [
            ("250", int, 4, Some(&[250, 0, 0, 0])),
            ("0x1234", int, 2, Some(&[0x34, 0x12])),
            ("65536", int, 2, None),
            ("-1", KconfigValue::Int { signed: true }, 2, Some(&[0xff, 0xff])),
            ("-1", int, 2, None),
            ("y", KconfigValue::Bool, 1, Some(&[1])),
            ("m", KconfigValue::Bool, 1, None),
            ("m", KconfigValue::Tristate, 4, Some(&[2, 0, 0, 0])),
            ("m", KconfigValue::Char { signed: true }, 1, Some(b"m")),
            ("-128", KconfigValue::Char { signed: true }, 1, Some(&[0x80])),
            ("-129", KconfigValue::Char { signed: true }, 1, None),
            ("255", KconfigValue::Char { signed: true }, 1, None),
            ("255", KconfigValue::Char { signed: false }, 1, Some(&[0xff])),
            ("1", KconfigValue::Bool, 1, None),
            ("-0x10", int, 8, Some(&(-16_i64).to_le_bytes())),
            (" +017", int, 2, Some(&[15, 0])),
            ("08", int, 2, None),
            ("0x", int, 2, None),
            ("--1", int, 8, None),
            ("0x1ffffffffffffffff", int, 8, None),
            ("y", int, 4, None),
            ("\"abc\"", KconfigValue::CharArray, 8, Some(b"abc\0")),
            ("\"abcdef\"", KconfigValue::CharArray, 4, Some(b"abc\0")),
        ];
        for (text, value, size, expected) in table {
            assert_eq!(encode(text, value, size).ok().as_deref(), expected, "{text} as {value:?}");
        }
    }
}
