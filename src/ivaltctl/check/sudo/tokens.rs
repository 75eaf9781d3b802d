//! The tokens of sudoers(5).

/// What a line consists of. Blanks only separate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// Without its quotes and escapes.
    Word(String),
    /// One of `, = : !`.
    Mark(char),
    /// One of `@ : ! >` right behind `Defaults`.
    Scope(char),
}

/// A line, or several that a backslash at the end joins.
#[derive(Debug)]
pub struct LogicalLine {
    /// Of the first, from 1.
    pub number: usize,
    /// At least one.
    pub tokens: Vec<Token>,
}

impl LogicalLine {
    /// What kind of line it is.
    pub fn first_word(&self) -> &str {
        match self.tokens.first() {
            Some(Token::Word(word)) => word,
            _ => "",
        }
    }
}

/// The lines of a file that have tokens.
pub fn logical_lines(text: &str) -> Vec<LogicalLine> {
    let mut lexer = Lexer {
        rest: text.as_bytes(),
        number: 1,
        tokens: Vec::new(),
    };
    let mut lines = Vec::new();
    while !lexer.rest.is_empty() {
        let number = lexer.number;
        lexer.line();
        let tokens = std::mem::take(&mut lexer.tokens);
        if !tokens.is_empty() {
            lines.push(LogicalLine { number, tokens });
        }
    }
    lines
}

struct Lexer<'a> {
    rest: &'a [u8],
    /// Of the line that `rest` begins in.
    number: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    /// Up to and with the end of the logical line.
    fn line(&mut self) {
        while let Some(&byte) = self.rest.first() {
            match byte {
                b'\n' => return self.newline(),
                _ if self.joins_next_line() => {}
                b' ' | b'\t' | b'\r' => self.skip(1),
                b'#' if !self.is_word() => self.comment(),
                b'(' if self.may_run_as() => self.run_as(),
                b',' | b'=' | b':' | b'!' => {
                    self.tokens.push(Token::Mark(char::from(byte)));
                    self.skip(1);
                }
                _ => self.word(),
            }
        }
    }

    fn skip(&mut self, count: usize) {
        self.rest = &self.rest[count..];
    }

    fn newline(&mut self) {
        self.number += 1;
        self.skip(1);
    }

    /// A backslash at the end of the line; it is skipped with that.
    fn joins_next_line(&mut self) -> bool {
        let length = match self.rest {
            [b'\\', b'\n', ..] => 2,
            [b'\\', b'\r', b'\n', ..] => 3,
            _ => return false,
        };
        self.number += 1;
        self.skip(length);
        true
    }

    /// `#1000` names a user by ID, and `#include` a file; all else behind a `#` is a comment.
    fn is_word(&self) -> bool {
        let first = self.tokens.is_empty();
        let include = |word: &[u8]| {
            let rest = self.rest.strip_prefix(word);
            rest.is_some_and(|rest| matches!(rest.first(), Some(b' ' | b'\t')))
        };
        self.rest.get(1).is_some_and(u8::is_ascii_digit)
            || (first && (include(b"#include") || include(b"#includedir")))
    }

    /// A backslash at its end joins nothing.
    fn comment(&mut self) {
        let end = self.rest.iter().position(|byte| *byte == b'\n');
        self.skip(end.unwrap_or(self.rest.len()));
    }

    /// Whether `(` begins the users to run as, and is no part of an argument.
    fn may_run_as(&self) -> bool {
        matches!(self.tokens.last(), Some(Token::Mark('=' | ',')))
    }

    fn run_as(&mut self) {
        while let Some(&byte) = self.rest.first() {
            match byte {
                b')' => return self.skip(1),
                b'\n' => return,
                _ if self.joins_next_line() => {}
                _ => self.skip(1),
            }
        }
    }

    fn word(&mut self) {
        let mut word = Vec::new();
        let mut is_quoted = false;
        while let Some(&byte) = self.rest.first() {
            match byte {
                b'"' => {
                    is_quoted = !is_quoted;
                    self.skip(1);
                }
                b'\n' => break,
                _ if self.joins_next_line() => match is_quoted {
                    true => {}
                    false => break,
                },
                b'\\' => self.escape(&mut word),
                _ if !is_quoted && ends_word(&word, byte) => break,
                _ => {
                    word.push(byte);
                    self.skip(1);
                }
            }
        }
        let is_first = self.tokens.is_empty();
        let is_defaults = is_first && word == b"Defaults";
        let word = String::from_utf8_lossy(&word).into_owned();
        self.tokens.push(Token::Word(word));
        if let (true, Some(scope @ (b'@' | b':' | b'!' | b'>'))) = (is_defaults, self.rest.first())
        {
            self.tokens.push(Token::Scope(char::from(*scope)));
            self.skip(1);
        }
    }

    /// `\xHH` is that byte; a backslash before any other takes its meaning.
    fn escape(&mut self, word: &mut Vec<u8>) {
        let digits = match self.rest {
            [_, b'x', high, low, ..] => std::str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        word.extend(digits.or(self.rest.get(1).copied()));
        self.skip(match digits {
            Some(_) => 4,
            None => self.rest.len().min(2),
        });
    }
}

/// `%#27` and `%:group` go on; `Defaults` ends before its scope.
fn ends_word(word: &[u8], byte: u8) -> bool {
    match byte {
        b' ' | b'\t' | b'\r' | b',' | b'=' => true,
        b'#' if word.is_empty() => false,
        b':' | b'#' => word != b"%",
        b'@' | b'!' | b'>' => word == b"Defaults",
        _ => false,
    }
}
