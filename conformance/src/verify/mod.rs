//! The verifier's work as something that is measured, recorded and held to a budget.
//!
//! Every program of an object is loaded alone on a kernel, by `bpftwin-kernel --verify` ([`protocol`]), under each of the
//! [`config`]urations asked for; what the verifier says becomes [`Row`]s. A [`lock`] keeps rows in a file
//! beside the objects; [`judge`] holds new rows against old ones and names the C lines that grew; [`rejection`] says in
//! words why a program is refused.

pub mod config;
pub mod judge;
pub mod lock;
pub mod protocol;
pub mod rejection;
pub mod report;
pub mod row;

use crate::case::ObjectImage;
use crate::plane::Unavailable;
use crate::plane::kernel::KernelPlane;
use protocol::{Answer, Ask, OPTION};
use row::{Key, Row};

/// One object under one configuration, to be loaded.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The object's file name.
    pub object: String,
    /// The configuration's name.
    pub config: String,
    /// The clang that compiled the object, as far as known.
    pub llvm: String,
    /// What to load.
    pub image: ObjectImage,
}

/// What a kernel said of subjects.
#[derive(Clone, Debug)]
pub struct Verified {
    /// `uname -r`.
    pub kernel: String,
    /// One for each program of each subject, in order.
    pub rows: Vec<Row>,
    /// Objects that libbpf does not open, and why.
    pub refused: Vec<(String, String)>,
}

/// Has a kernel verify `subjects`; `lines`: with what every C line cost.
pub fn verify(kernel: &KernelPlane, subjects: &[Subject], lines: bool) -> Result<Verified, Unavailable> {
    let mut input = Vec::new();
    for subject in subjects {
        let ask = Ask { image: subject.image.clone(), lines };
        serde_json::to_writer(&mut input, &ask).expect("an object has only string keys");
        input.push(b'\n');
    }
    let said = kernel.talk::<Answer>(&[OPTION], input)?;
    let garbled = || kernel.broken("its answer breaks off or is garbled", &said.stderr);
    let mut answers = said.events.iter();
    let Some(Answer::Begin { kernel: release }) = answers.next() else { return Err(garbled()) };
    let mut verified = Verified { kernel: release.clone(), rows: Vec::new(), refused: Vec::new() };
    for subject in subjects {
        let before = verified.rows.len();
        loop {
            match answers.next() {
                Some(Answer::Program(seen)) => {
                    let key = Key {
                        object: subject.object.clone(),
                        program: seen.program.clone(),
                        config: subject.config.clone(),
                        kernel: row::series(release),
                        llvm: subject.llvm.clone(),
                    };
                    verified.rows.push(Row { key, seen: (**seen).clone() });
                }
                Some(Answer::End { programs }) if *programs == verified.rows.len() - before => break,
                Some(Answer::Refused { reason }) => {
                    verified.refused.push((subject.object.clone(), reason.clone()));
                    break;
                }
                _ => return Err(garbled()),
            }
        }
    }
    if answers.next().is_some() { Err(garbled()) } else { Ok(verified) }
}
