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
        "LINUX_HAS_BPF_COOKIE" | "LINUX_HAS_SYSCALL_WRAPPER" => Ok(Some("1".into())),
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
        ("y" | "m" | "n", KconfigValue::Char) => Ok(text.as_bytes().to_vec()),
        (_, KconfigValue::CharArray) => {
            let inner = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
            let Some(inner) = inner else { return wrong("a string") };
            // Longer ones are cut, as libbpf does with a warning.
            Ok(inner.bytes().take(size - 1).chain([0]).collect())
        }
        (_, KconfigValue::Int { .. } | KconfigValue::Bool | KconfigValue::Char) => {
            let signed = matches!(value, KconfigValue::Int { signed: true });
            let number = match text.strip_prefix("0x") {
                Some(hex) => i128::from_str_radix(hex, 16).ok(),
                None => text.parse().ok(),
            };
            let Some(number) = number else { return wrong("a number") };
            let bits = if value == KconfigValue::Bool { 1 } else { 8 * size };
            let (low, high) =
                if signed { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) };
            if !(low..=high).contains(&number) {
                return wrong(&format!("{low} to {high}"));
            }
            Ok(number.to_le_bytes()[..size].to_vec())
        }
        (_, KconfigValue::Tristate) => wrong("y, m or n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_libbpf_writes_them() {
        let int = KconfigValue::Int { signed: false };
        let table: [(&str, KconfigValue, usize, Option<&[u8]>); 12] = [
            ("250", int, 4, Some(&[250, 0, 0, 0])),
            ("0x1234", int, 2, Some(&[0x34, 0x12])),
            ("65536", int, 2, None),
            ("-1", KconfigValue::Int { signed: true }, 2, Some(&[0xff, 0xff])),
            ("-1", int, 2, None),
            ("y", KconfigValue::Bool, 1, Some(&[1])),
            ("m", KconfigValue::Bool, 1, None),
            ("m", KconfigValue::Tristate, 4, Some(&[2, 0, 0, 0])),
            ("m", KconfigValue::Char, 1, Some(b"m")),
            ("y", int, 4, None),
            ("\"abc\"", KconfigValue::CharArray, 8, Some(b"abc\0")),
            ("\"abcdef\"", KconfigValue::CharArray, 4, Some(b"abc\0")),
        ];
        for (text, value, size, expected) in table {
            assert_eq!(encode(text, value, size).ok().as_deref(), expected, "{text} as {value:?}");
        }
    }
}
