//! One macro for the kernel's enumerations: number, kernel name, and back.

macro_rules! kernel_enum {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $value:literal $kernel:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[repr(u32)]
        #[allow(missing_docs)]
        pub enum $name { $($variant = $value,)* }

        impl $name {
            /// Every value, in the kernel's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The value the kernel gives number `value`, if it has one.
            pub const fn from_u32(value: u32) -> Option<Self> {
                match value {
                    $($value => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The constant's name in `include/uapi/linux/bpf.h`.
            pub const fn kernel_name(self) -> &'static str {
                match self { $(Self::$variant => $kernel,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.kernel_name())
            }
        }
    };
}
pub(crate) use kernel_enum;
