//! Scenarios, planes, comparison, reports. See ARCHITECTURE.md.

pub mod bytes;
pub mod case;
pub mod layout;
pub mod observation;
pub mod scenario;
