//! What a source says of people; nothing is judged yet.

/// One person, as the directory or the CSV file has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// Where the source says it: a DN, or `line 7`.
    pub place: String,
    /// All values of the attribute that names the account.
    pub names: Vec<Vec<u8>>,
    /// All values of the first attribute of `map.mobile` that has any.
    pub mobiles: Vec<Vec<u8>>,
    /// The source says that this person may not log in.
    pub disabled: bool,
    /// The source gives this person the user id 0.
    pub is_uid_0: bool,
}

/// A complete answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Everybody, in the order of the source.
    pub people: Vec<Person>,
    /// What was asked: `ldaps://dc1.example`, `users.csv`, `standard input`.
    pub source: String,
    /// Sentences that an administrator must read.
    pub notices: Vec<String>,
}

/// Why there is none. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The directory cannot be asked now, or has not answered completely: exit status 4.
    Unavailable(String),
    /// It must not be believed, or not be asked, before somebody changes something: exit status 1.
    Refused(String),
}
