//! No copy of token, API key or password is left in the application's memory after a call: not on the heap, freed or in
//! use, not on the stack. `Case::run` fails where one is found; pam-client holds the secrets obfuscated only.

use std::time::Duration;

use crate::codes::{self, ACCEPTED, Codes, REFUSED_CODE, with_codes};
use crate::expect::*;
use crate::isolation::compiled;
use crate::proxies::proxy;
use support::codes::*;
use support::obfuscate::obfuscated;
use support::server::{Certificate, NOBODY, Server, answer, hold, trusted_authority};
use support::{Case, Entry, Settings, StandIn, TempDir, Text, module_path, sandbox_test, users};

/// Long enough to be searched for, never the same.
pub fn secret(beginning: &str, seed: u32) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    let states = std::iter::successors(next(&(seed ^ 0x9e37_79b9)), next).take(140);
    let letter = |state: u32| char::from(letters[(state >> 16) as usize % letters.len()]);
    states
        .map(letter)
        .fold(beginning.to_owned(), |text, letter| {
            text + &letter.to_string()
        })
}

/// What is never to be found again. The stand-in accepts the first token and refuses the others.
struct Secrets {
    key: String,
    password: String,
    tokens: [String; 4],
}

impl Secrets {
    fn new() -> Self {
        Self {
            key: secret("key-", 1),
            password: secret("accept-password-", 2),
            tokens: [
                secret("accept-", 3),
                secret("reject-", 4),
                secret("reject-", 5),
                secret("reject-", 6),
            ],
        }
    }

    fn accepted(&self) -> Text {
        Text::hidden(&self.tokens[0])
    }

    fn must_not_leak(&self, case: Case) -> Case {
        let case = case
            .must_not_leak("the key", &self.key)
            .must_not_leak("the password", &self.password);
        let names = [
            "the accepted token",
            "the first token",
            "the second token",
            "the third token",
        ];
        names
            .iter()
            .zip(&self.tokens)
            .fold(case, |case, (name, token)| case.must_not_leak(name, token))
    }

    /// Settings with this key.
    fn case(&self, ivalt: &StandIn) -> Case {
        let case = Case::against(ivalt);
        let settings = self.settings(&case, ivalt);
        self.must_not_leak(case.with_settings(&settings))
    }

    fn settings(&self, case: &Case, ivalt: &StandIn) -> Settings {
        case.settings(ivalt).set("api", "key", self.key.as_str())
    }

    /// Against a server that is not the stand-in.
    fn case_at(&self, url: &str, more: &str) -> Case {
        let case = Case::new(module_path()).users(&users(&[("alice", "+916283974746")]));
        let ca = trusted_authority(case.dir().path());
        let text = format!(
            "users_file = \"{}\"\n[api]\nurl = \"{url}\"\nkey = \"{}\"\nca_file = \"{}\"\n{more}\n",
            case.users_file().display(),
            self.key,
            ca.display(),
        );
        let config = format!("config={}", case.config().display());
        self.must_not_leak(case.settings_text(&text).argument(&config))
    }

    fn at(&self, server: &Server) -> Case {
        self.case_at(
            &format!("https://127.0.0.1:{}", server.port),
            "timeout_seconds = 1",
        )
    }
}

#[sandbox_test]
fn after_tokens_that_were_judged() {
    let secrets = Secrets::new();
    let ivalt = StandIn::with_key(&secrets.key);
    expect(
        &secrets.case(&ivalt).answer(secrets.accepted()).run(),
        VERIFIED,
    );
    let debug = secrets.case(&ivalt);
    let settings = secrets
        .settings(&debug, &ivalt)
        .set("api", "client_id", "id")
        .set("api", "client_secret", secrets.password.as_str());
    let debug = debug
        .with_settings(&settings)
        .argument("debug")
        .answer(secrets.accepted());
    expect(&debug.run(), VERIFIED);
    let refused = |case| {
        secrets.tokens[1..]
            .iter()
            .fold(case, |case: Case, token| case.answer(Text::hidden(token)))
    };
    expect(&refused(secrets.case(&ivalt)).run(), EXHAUSTED);
    let again =
        secrets
            .case(&ivalt)
            .calls(&[Entry::Authenticate, Entry::Authenticate, Entry::Setcred]);
    assert_eq!(
        refused(again)
            .answer(secrets.accepted())
            .run()
            .codes(Entry::Authenticate),
        [PAM_MAXTRIES, PAM_SUCCESS]
    );
    assert!(ivalt.tokens().contains(&secrets.tokens[3]));
}

#[sandbox_test]
fn after_answers_that_are_not_sent() {
    let secrets = Secrets::new();
    let ivalt = StandIn::with_key(&secrets.key);
    let settings = |case: Case| {
        let settings = secrets
            .settings(&case, &ivalt)
            .set("token", "charset", "digits");
        case.with_settings(&settings)
    };
    expect(
        &settings(secrets.case(&ivalt))
            .answer(secrets.accepted())
            .answer(Text::hidden(&secrets.tokens[1]))
            .answer(Text::hidden(&secrets.tokens[2]))
            .run(),
        MALFORMED,
    );
    let password = || Text::hidden(&secrets.password);
    let case = secrets.case(&ivalt).hidden_authtok(&secrets.password);
    expect(&case.answer(password()).run(), PASSWORD);
    let stranger = secrets.case(&ivalt).user("bob").answer(secrets.accepted());
    expect(&stranger.run(), NOT_ENROLLED);
    assert_eq!(ivalt.requests().len(), 0);
}

#[sandbox_test]
fn after_passwords_that_are_sent_because_the_administrator_wants_it() {
    let secrets = Secrets::new();
    let ivalt = StandIn::with_key(&secrets.key);
    let case = |word: &str| {
        secrets
            .case(&ivalt)
            .argument(word)
            .hidden_authtok(&secrets.password)
    };
    expect(&case("use_first_pass").run(), VERIFIED);
    expect(&case("try_first_pass").run(), VERIFIED);
    assert_eq!(ivalt.tokens(), [secrets.password.as_str(); 2]);
    let refused = secrets
        .case(&ivalt)
        .argument("try_first_pass")
        .hidden_authtok(&secrets.tokens[1]);
    expect(&refused.answer(secrets.accepted()).run(), VERIFIED);
}

#[sandbox_test]
fn after_outages() {
    let secrets = Secrets::new();
    let unavailable = |case: Case| {
        expect(
            &case.argument("debug").answer(secrets.accepted()).run(),
            UNAVAILABLE,
        )
        .get("cause")
    };
    let cause = unavailable(secrets.case_at(&format!("https://{NOBODY}"), ""));
    assert!(cause.starts_with("connect: connection refused"), "{cause}");
    let cause = unavailable(secrets.case_at("https://ivalt.invalid", ""));
    assert!(cause.starts_with("dns: "), "{cause}");
    let cause = unavailable(secrets.at(&Server::tls(Certificate::Expired, |_| {})));
    assert!(cause.starts_with("tls: certificate expired"), "{cause}");
    let cause = unavailable(secrets.at(&Server::raw(|stream| hold(&stream))));
    assert!(cause.starts_with("timeout after 1 s in tls"), "{cause}");
    let silent = Server::tls(Certificate::Valid, |_| {
        std::thread::sleep(Duration::from_secs(2))
    });
    let cause = unavailable(secrets.at(&silent));
    assert!(cause.starts_with("timeout after 1 s in answer"), "{cause}");
    let cause = unavailable(secrets.at(&Server::tls(Certificate::Valid, |_| {})));
    assert!(cause.starts_with("answer: "), "{cause}");
}

/// What iVALT repeats comes in by other buffers than those it went out by.
#[sandbox_test]
fn after_answers_that_repeat_everything() {
    let secrets = Secrets::new();
    let said = format!("{} and {}", secrets.tokens[0], secrets.key);
    let refusal =
        format!(r#"{{"status":"error","error":{{"code":"X-{said}","detail":"{said}"}}}}"#);
    let success = format!(r#"{{"status":"success","message":"{said}","{said}":"\u0041{said}"}}"#);
    let other = format!(r#"{{"status":"{said}","message":"{said}"}}"#);
    let header = format!("x-repeated: {}\r\n", secrets.tokens[0]);
    for (status, headers, body, row) in [
        ("403 Forbidden", "", &refusal, REJECTED),
        ("403 Forbidden", header.as_str(), &refusal, REJECTED),
        ("200 OK", "", &other, REJECTED),
        ("200 OK", "", &success, VERIFIED),
        ("503 Service Unavailable", "", &refusal, UNAVAILABLE),
        ("200 OK", "", &said, UNAVAILABLE),
        ("200 OK", "", &said.repeat(400), UNAVAILABLE),
    ] {
        let server = Server::answering(answer(status, headers, body.as_bytes()));
        let url = format!("https://127.0.0.1:{}", server.port);
        let case = secrets
            .case_at(&url, "[token]\nattempts = 1")
            .argument("debug");
        expect(&case.answer(secrets.accepted()).run(), row);
    }
}

#[sandbox_test]
fn after_a_request_through_a_proxy() {
    let secrets = Secrets::new();
    let ivalt = StandIn::with_key(&secrets.key);
    let open = proxy("HTTP/1.1 200 OK\r\n\r\n", Duration::ZERO);
    let case = secrets.case(&ivalt).answer(secrets.accepted());
    let settings = secrets.settings(&case, &ivalt).set(
        "api",
        "proxy",
        format!("http://u:{}@127.0.0.1:{}", secrets.password, open.port),
    );
    expect(&case.with_settings(&settings).run(), VERIFIED);
    let refusing = proxy("HTTP/1.1 403 Forbidden\r\n\r\n", Duration::ZERO);
    let case = secrets.case(&ivalt).answer(secrets.accepted());
    let settings = secrets.settings(&case, &ivalt).set(
        "api",
        "proxy",
        format!("http://127.0.0.1:{}", refusing.port),
    );
    expect(&case.with_settings(&settings).run(), UNAVAILABLE);
}

#[sandbox_test]
fn after_settings_that_are_refused() {
    let secrets = Secrets::new();
    let ivalt = StandIn::with_key(&secrets.key);
    let key = &secrets.key;
    for text in [
        format!("[api]\nkey = \"{key}\"\nkey = \"{key}\"\n"),
        format!("[api]\nkey = \"{key}\"\nclient_secret = \"{key}\"\nnonsense = \"{key}\"\n"),
        format!("[api]\nkey = \"{key}\n"),
        format!("[api]\nkey = {key}\n"),
        format!("[api]\nkey = [\"{key}\"]\n"),
        format!("[api]\nkey = \"{key} {key}\"\n"),
        format!("[api]\nkey = \"\\u0041{key}\"\nkey_file = \"{key}\"\n"),
        format!("[api]\nkey = \"\"\"\n{key}\\\n  {key}\"\"\"\n"),
        format!("[api]\ntimeout_seconds = \"{key}\"\n"),
        format!("[api]\nkey = \"k\"\nurl = \"https://{key}:x@api.ivalt.com/\"\n"),
        format!("[api]\nkey = \"k\"\nproxy = \"http://u:{key}@proxy/x\"\n"),
        format!("[api]\nkey = \"{key}\"\n[token]\nmethod = \"token+face\"\n"),
        format!("[api]\nkey = \"{key}\"\nca_file = \"/nonexistent\"\n"),
        format!("[api]\nkey = \"{key}\"\nnumber = 99999999999999999999\n"),
        format!("[api]\nkey = \"{key}\"\n# \u{1}\n"),
        format!("[api]\n{key}\n"),
    ] {
        expect(
            &secrets
                .case(&ivalt)
                .settings_text(&text)
                .answer(secrets.accepted())
                .run(),
            MISCONFIGURED,
        );
    }
}

#[sandbox_test]
fn after_a_key_in_a_file_of_its_own() {
    let secrets = Secrets::new();
    let ivalt = StandIn::with_key(&secrets.key);
    let case = secrets.case(&ivalt);
    let with_key = |case: Case, text: String| {
        let file = case.dir().write("api.key", text, 0o600);
        let settings = case.settings(&ivalt).without("api", "key").set(
            "api",
            "key_file",
            file.to_str().unwrap(),
        );
        case.with_settings(&settings).answer(secrets.accepted())
    };
    expect(
        &with_key(case, format!("{}\n", secrets.key)).run(),
        VERIFIED,
    );
    let case = with_key(secrets.case(&ivalt), format!("{0} {0}\n", secrets.key));
    expect(&case.run(), MISCONFIGURED);
}

#[sandbox_test]
fn after_a_panic() {
    let secrets = Secrets::new();
    let ivalt = StandIn::with_key(&secrets.key);
    let dir = TempDir::new();
    let case = secrets
        .case(&ivalt)
        .preload(&compiled("clock_fails_once", &dir));
    let report = case.answer(secrets.accepted()).run();
    assert_eq!(report.code(), PAM_ABORT);
    let line = report.log_line();
    assert!(line.get("cause").starts_with("panic at "), "{line:?}");
}

/// The forms in which a recovery code passes through the module. Whole ones: a code is short, and free(3) writes over
/// the first 16 bytes of what it frees.
fn must_not_leak_code(mut case: Case, codes: &Codes, text: &str) -> Case {
    let plain = text[3..].replace('-', "");
    let file = codes.file_of("alice", text);
    let name = file.file_name().unwrap().to_str().unwrap();
    let hash: Vec<_> = (5..name.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&name[at..at + 2], 16).unwrap())
        .collect();
    let salt = std::fs::read(codes.folder("alice").join("salt")).unwrap();
    for (what, bytes) in [
        ("the answer", text.as_bytes()),
        ("the code", &plain.as_bytes()[..16]),
        ("the code with its check symbols", plain.as_bytes()),
        ("the salt", &salt),
        ("the end of the salt", &salt[16..]),
        ("the hash", &hash),
        ("the end of the hash", &hash[16..]),
        ("the name of the file", &name.as_bytes()[37..]),
    ] {
        case.script
            .must_not_leak
            .insert(what.to_owned(), obfuscated(bytes));
    }
    case
}

#[sandbox_test]
fn after_recovery_codes() {
    let ivalt = StandIn::start();
    for row in [ACCEPTED, REFUSED_CODE, MALFORMED, MISCONFIGURED, DISABLED] {
        let (case, codes, texts) = with_codes(&ivalt, 2);
        let settings = codes::settings(&case, &ivalt, &codes).set("token", "attempts", 1);
        let case = must_not_leak_code(case.with_settings(&settings), &codes, &texts[0]);
        let answer = match row.1 {
            "malformed-token" => format!("{}-0", texts[0]),
            _ => texts[0].clone(),
        };
        let file = codes.file_of("alice", &texts[0]);
        let case = match row.1 {
            "recovery-code-refused" => {
                std::fs::remove_file(file).unwrap();
                case
            }
            "misconfigured" => {
                std::fs::write(file, "x").unwrap();
                case
            }
            "disabled" => {
                case.users("[users]\nalice = { mobile = \"+14155550100\", enabled = false }\n")
            }
            _ => case,
        };
        expect(
            &case.argument("debug").answer(Text::hidden(&answer)).run(),
            row,
        );
    }
    assert_eq!(ivalt.requests().len(), 0);
}
