//! See README.md: what each number means.
