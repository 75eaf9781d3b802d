//! TOML as a stream of events, by `toml`'s own parser: syntax is checked to the end, nothing is built, and an error
//! holds no copy of the text.

use toml_parser::decoder::Encoding;
use toml_parser::parser::{EventReceiver, RecursionGuard, ValidateWhitespace, parse_document};
use toml_parser::{ErrorSink, ParseError, Raw, Source, Span};

use crate::problem::Problem;
use crate::sys::memory::{self, OutOfMemory};

/// Arrays and inline tables may be nested this deep, as in `toml` itself.
const MAX_DEPTH: u32 = 80;

/// Where the text is not TOML, and a sentence that quotes nothing of it.
#[derive(Debug, PartialEq, Eq)]
pub struct NotToml {
    /// Offset in bytes.
    pub at: usize,
    /// What is wrong there; it does not know its file.
    pub problem: Problem,
}

impl NotToml {
    /// `what` is wrong at an offset.
    #[must_use]
    pub fn at(at: usize, what: String) -> Self {
        let problem = Problem::invalid(what);
        Self { at, problem }
    }
}

/// Whether it is TOML, nobody knows.
impl From<OutOfMemory> for NotToml {
    fn from(out_of_memory: OutOfMemory) -> Self {
        Self {
            at: 0,
            problem: out_of_memory.into(),
        }
    }
}

/// Hands every event of `source` to `receiver`.
///
/// # Errors
/// The first place where it is not TOML.
pub fn walk(source: Source<'_>, receiver: &mut dyn EventReceiver) -> Result<(), NotToml> {
    let mut tokens = Vec::new();
    for token in source.lex() {
        memory::push(&mut tokens, token)?;
    }
    let mut first: Option<ParseError> = None;
    let mut guard = RecursionGuard::new(receiver, MAX_DEPTH);
    parse_document(
        &tokens,
        &mut ValidateWhitespace::new(&mut guard, source),
        &mut first,
    );
    first.map_or(Ok(()), |error| {
        let at = error
            .unexpected()
            .or(error.context())
            .map_or(0, |span| span.start());
        let mut not_toml = NotToml::at(at, format!("is not TOML: {}", error.description()));
        // Of a file that went through Windows twice, or of an old Mac: its editor shows nothing of it.
        if error.description().contains("carriage return") {
            not_toml.problem = not_toml
                .problem
                .fix("end its lines in LF: sed -i 's/\\r/\\n/g' FILE");
        }
        Err(not_toml)
    })
}

/// The text of a key or scalar.
#[must_use]
pub fn raw(source: Source<'_>, span: Span, encoding: Option<Encoding>) -> Option<Raw<'_>> {
    let text = source.get(span)?.as_str();
    Some(Raw::new_unchecked(text, encoding, span))
}

/// Decodes keys and scalars and forgets them: what is left is the check.
#[derive(Debug)]
pub(crate) struct SyntaxCheck<'i>(pub Source<'i>);

impl EventReceiver for SyntaxCheck<'_> {
    fn simple_key(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        if let Some(raw) = raw(self.0, span, encoding) {
            raw.decode_key(&mut (), error);
        }
    }

    fn scalar(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        if let Some(raw) = raw(self.0, span, encoding) {
            let _ = raw.decode_scalar(&mut (), error);
        }
    }
}
