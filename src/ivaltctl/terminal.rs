//! What is asked and said. Secrets come from the terminal without echo, or from standard input, one a line.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use ivalt_core::conversation::{Application, ApplicationError, Conversation, Echo, NoAnswer};
use ivalt_core::secret::Secret;

/// All is well.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Look at it.
pub const DOUBTFUL: Style = AnsiColor::Yellow.on_default().bold();
/// Mend it.
pub const BAD: Style = AnsiColor::Red.on_default().bold();

/// A line to standard output. A reader that went away (`| head`) is no fault.
pub fn say(text: impl Display) {
    let _ = writeln!(anstream::stdout(), "{text}");
}

/// A line to standard error, with the name of the program in front.
pub fn complain(text: impl Display) {
    let _ = writeln!(anstream::stderr(), "ivaltctl: {text}");
}

/// The text in a colour; anstream takes it out again where no terminal reads.
pub fn painted(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Foreign text without what a terminal would obey or hide: control characters, turned directions, invisible ones.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => plain.push(c),
            _ => plain.extend(c.escape_debug()),
        }
    }
    plain
}

/// A line on the terminal as long as something takes longer than a second; gone when it is dropped.
#[derive(Debug)]
pub struct Notice(Option<(Sender<()>, JoinHandle<()>)>);

impl Notice {
    /// Says what is being done; nothing where no terminal reads.
    pub fn after_a_second(doing: String) -> Self {
        if !io::stderr().is_terminal() {
            return Self(None);
        }
        let (done, waiting) = mpsc::channel();
        let teller = thread::spawn(move || {
            if waiting.recv_timeout(Duration::from_secs(1)) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let mut screen = io::stderr();
            let _ = write!(screen, "{} …", plain(&doing));
            let _ = waiting.recv();
            // Back to the beginning of the line, and erase it.
            let _ = write!(screen, "\r\x1b[K");
        });
        Self(Some((done, teller)))
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        if let Some((done, teller)) = self.0.take() {
            drop(done);
            let _ = teller.join();
        }
    }
}

/// Asks for a secret.
///
/// # Errors
/// Nobody answered: the end of input, or Ctrl-D.
pub fn ask_secret(prompt: &str) -> io::Result<Secret> {
    if io::stdin().is_terminal() {
        return Ok(Secret::new(
            rpassword::prompt_password(prompt)?.into_bytes(),
        ));
    }
    read_line().map(|line| Secret::new(line.into_bytes()))
}

/// Asks for something that may be seen; the answer without white space around it.
///
/// # Errors
/// As [`ask_secret`].
pub fn ask(prompt: &str) -> io::Result<String> {
    let mut screen = anstream::stderr();
    write!(screen, "{prompt}").and_then(|()| screen.flush())?;
    Ok(read_line()?.trim().to_owned())
}

/// Asks for consent; anything but yes, the end of input included, is a no.
pub fn agree(question: &str) -> bool {
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

/// The person at the terminal, in the place of an application of PAM.
pub struct Terminal {
    /// The account to try.
    pub user: String,
    /// The last thing said to the person.
    pub told: Option<String>,
}

impl Conversation for Terminal {
    fn ask(&mut self, prompt: &str, _: Echo) -> Result<Secret, NoAnswer> {
        ask_secret(prompt).map_err(|_| NoAnswer)
    }

    fn tell(&mut self, sentence: &str) {
        self.told = Some(sentence.to_owned());
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
