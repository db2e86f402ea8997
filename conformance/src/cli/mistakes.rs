//! Mistakes as a compiler shows them.

use bpftwin_conformance::scenario::mistake::{Mistake, Mistakes};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

#[derive(thiserror::Error, Debug)]
#[error("{}", mistake.what)]
struct Shown<'a> {
    mistake: &'a Mistake,
    text: NamedSource<String>,
}

impl Diagnostic for Shown<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.mistake.help.as_ref().map(|help| Box::new(help) as Box<dyn std::fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.text)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.mistake.span.clone();
        Some(Box::new(std::iter::once(LabeledSpan::new(None, span.start, span.len()))))
    }
}

/// Every mistake with the line it is on.
pub fn render(mistakes: &Mistakes, color: bool) -> String {
    let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(110);
    let mut out = String::new();
    for mistake in &mistakes.list {
        let text = NamedSource::new(&mistakes.file, mistakes.text.to_string());
        // Writing to a string fails only if formatting does, which would be a bug of the library.
        handler.render_report(&mut out, &Shown { mistake, text }).expect("a string takes everything");
        out.push('\n');
    }
    out
}
