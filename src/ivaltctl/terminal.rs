//! Prompts and output. Secrets come from the terminal without echo, or from standard input, one a line.

use std::fmt::{self, Display};
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use serde_json::Value;

use crate::Refused;
use crate::system_error::reason;
use ivalt_core::conversation::{Application, ApplicationError, Conversation, Echo, NoAnswer};
use ivalt_core::secret::Secret;

/// Nothing is wrong.
pub const OK: Style = AnsiColor::Green.on_default().bold();
/// Somebody should look at it.
pub const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// Somebody must fix it.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();

/// What people are shown. Much of it comes from files of others: all but line ends and tabs is made visible here, so
/// that no caller can forget it.
#[derive(Clone, Debug, Default)]
pub struct Text(String);

impl Text {
    /// The same, and then `text`.
    pub fn then(mut self, text: impl Display) -> Self {
        let text = text.to_string();
        for part in text.split_inclusive(['\n', '\t']) {
            let plain = part.trim_end_matches(['\n', '\t']);
            self.0 += &visible(plain);
            self.0 += &part[plain.len()..];
        }
        self
    }

    /// The same, and then `text` in a colour; anstream takes it out again where no terminal reads.
    pub fn then_styled(mut self, style: Style, text: impl Display) -> Self {
        self.0 += &style.to_string();
        self = self.then(text);
        self.0 += &format!("{style:#}");
        self
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::default().then(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::default().then(text)
    }
}

impl From<fmt::Arguments<'_>> for Text {
    fn from(text: fmt::Arguments<'_>) -> Self {
        Self::default().then(text)
    }
}

/// A line to standard output. A reader that went away (`| head`) is no fault.
pub fn print(text: impl Into<Text>) {
    let _ = writeln!(anstream::stdout(), "{}", text.into().0);
}

/// A line to standard error, with the name of the program in front.
pub fn print_error(text: impl Into<Text>) {
    let _ = writeln!(anstream::stderr(), "ivaltctl: {}", text.into().0);
}

/// A line for programs; it has the escapes of JSON, and no others.
pub fn print_json(value: &Value) {
    let _ = writeln!(io::stdout(), "{}", json(value));
}

/// To standard output, or an error: the reader gets all of it, and on a disk it is there after a power cut.
///
/// # Errors
/// As write(2) and fsync(2).
pub fn deliver(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    stdout.write_all(bytes)?;
    match stdout.metadata()?.is_file() {
        true => stdout.sync_all(),
        false => Ok(()),
    }
}

/// As [`deliver`], for programs.
///
/// # Errors
/// As [`deliver`].
pub fn deliver_json(value: &Value) -> io::Result<()> {
    deliver(format!("{}\n", json(value)).as_bytes())
}

/// JSON need not escape what [`visible`] does: a terminal takes U+009B for the beginning of an escape sequence.
fn json(value: &Value) -> String {
    let mut escaped = String::new();
    for c in value.to_string().chars() {
        let as_it_is = c.is_ascii_graphic()
            || c == ' '
            || visible(c.encode_utf8(&mut [0; 4])) == c.to_string();
        match as_it_is {
            true => escaped.push(c),
            false => c
                .encode_utf16(&mut [0; 2])
                .iter()
                .for_each(|unit| escaped += &format!("\\u{unit:04x}")),
        }
    }
    escaped
}

/// The text in a colour.
pub fn styled(style: Style, text: impl Display) -> Text {
    Text::default().then_styled(style, text)
}

/// Foreign text with everything escaped that a terminal would act on or hide: control characters, changes of direction,
/// invisible ones.
pub fn visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => visible.push(c),
            _ => visible.extend(c.escape_debug()),
        }
    }
    visible
}

/// A line on the terminal, shown when something takes longer than a second; erased when it is dropped.
#[derive(Debug)]
pub struct ProgressHint(Option<(Sender<()>, JoinHandle<()>)>);

impl ProgressHint {
    /// Shows what is being done; nothing where no terminal reads.
    pub fn after_a_second(action: String) -> Self {
        if !io::stderr().is_terminal() {
            return Self(None);
        }
        let (done, waiting) = mpsc::channel();
        #[expect(clippy::disallowed_methods, reason = "not inside another's process")]
        let printer = thread::spawn(move || {
            if waiting.recv_timeout(Duration::from_secs(1)) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let mut screen = io::stderr();
            let _ = write!(screen, "{} …", visible(&action));
            let _ = waiting.recv();
            // Back to the beginning of the line, and erase it.
            let _ = write!(screen, "\r\x1b[K");
        });
        Self(Some((done, printer)))
    }
}

impl Drop for ProgressHint {
    fn drop(&mut self) {
        if let Some((done, printer)) = self.0.take() {
            drop(done);
            let _ = printer.join();
        }
    }
}

/// Asks for a secret.
///
/// # Errors
/// Nobody answered: the end of input, or Ctrl-D.
pub fn ask_secret(prompt: &str) -> Result<Secret, Refused> {
    let answer = if io::stdin().is_terminal() {
        rpassword::prompt_password(prompt)
    } else {
        read_line()
    };
    let answer = answer.map_err(|error| no_answer(&error))?;
    Ok(Secret::new(answer.into_bytes()))
}

/// Asks for something that is not secret; the answer without white space around it.
///
/// # Errors
/// As [`ask_secret`].
pub fn ask(prompt: &str) -> Result<String, Refused> {
    let mut screen = anstream::stderr();
    let asked = write!(screen, "{prompt}").and_then(|()| screen.flush());
    let answer = asked.and_then(|()| read_line());
    let answer = answer.map_err(|error| no_answer(&error))?;
    Ok(answer.trim().to_owned())
}

/// Asks for confirmation; anything but yes, the end of input included, is a no.
pub fn confirm(question: &str) -> bool {
    let answer = ask(&format!("{question} [y/N] ")).unwrap_or_default();
    matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes")
}

fn read_line() -> io::Result<String> {
    let mut line = String::new();
    match io::stdin().read_line(&mut line)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line),
    }
}

fn no_answer(error: &io::Error) -> Refused {
    let why = match error.kind() {
        io::ErrorKind::UnexpectedEof => "the input ended".to_owned(),
        _ => reason(error),
    };
    Refused(format!(
        "no answer: {why}; answer at a terminal, or on standard input, each question with a line"
    ))
}

/// The user at the terminal, in place of a PAM application.
pub struct Terminal {
    /// The account to try.
    pub user: String,
    /// The last message shown to the user.
    pub last_message: Option<String>,
}

impl Conversation for Terminal {
    fn ask(&mut self, prompt: &str, _: Echo) -> Result<Secret, NoAnswer> {
        ask_secret(&visible(prompt)).map_err(|_| NoAnswer)
    }

    fn tell(&mut self, sentence: &str) {
        self.last_message = Some(sentence.to_owned());
    }
}

impl Application for Terminal {
    fn user(&mut self) -> Result<Vec<u8>, ApplicationError> {
        Ok(self.user.clone().into_bytes())
    }

    fn password(&mut self) -> Result<Option<Secret>, ApplicationError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_for_a_terminal_is_the_same_json() {
        let value = Value::from("a \"\\\n\u{7f}\u{9b}31m\u{202e}\u{e0001}é");
        let text = json(&value);
        assert_eq!(text, r#""a \"\\\n\u007f\u009b31m\u202e\udb40\udc01é""#);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
