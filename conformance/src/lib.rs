//! Scenarios, planes, comparison, reports. See ARCHITECTURE.md.
//!
//! The way of a case: [`scenario`] text is read into typed data, [`resolve`]d into a [`case`] (bytes only), run on
//! [`plane`]s that answer with [`observation`]s, which are [`check`]ed against what the scenario expects and
//! [`compare`]d with each other or with a [`golden`]. [`suite`] is that whole way.

pub mod bundled;
pub mod bytes;
pub mod case;
pub mod check;
pub mod compare;
pub mod ctx;
pub mod described;
pub mod edit;
pub mod exit;
pub mod fuzz;
pub mod golden;
pub mod guest;
pub mod inventory;
pub mod kernels;
pub mod layout;
pub mod ledger;
pub mod observation;
pub mod plane;
pub mod probe;
pub mod report;
pub mod resolve;
pub mod scenario;
pub mod shape;
pub mod suite;
pub mod unit;
pub mod verdict;
pub mod verify;
