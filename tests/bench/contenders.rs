//! The contenders, and how each of them logs in.

use std::ffi::OsString;

use crate::Fault;
use crate::options::Options;
use crate::setup::{Distance, MOBILE, Roots, Setup, USER};

/// One program that asks iVALT, or a floor below all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contender {
    pub kind: Kind,
    pub roots: Roots,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Module {
        preconnect: bool,
    },
    /// `pam_exec` with a script around this curl(1).
    PamExec {
        curl: String,
    },
    /// What libpam and the application cost by themselves.
    Permit,
    /// tests/bench/least.c
    Least,
}

/// Everybody this machine has the programs for.
pub fn all(options: &Options) -> Vec<Contender> {
    let mut all = Vec::new();
    for roots in [Roots::Bundle, Roots::One] {
        all.extend(asking(roots));
    }
    let roots = Roots::Bundle;
    if let Some(curl) = &options.curl {
        let curl = curl.display().to_string();
        all.push(Contender {
            kind: Kind::PamExec { curl },
            roots,
        });
    }
    all.push(Contender {
        kind: Kind::Permit,
        roots,
    });
    all
}

/// The module, both ways, and last the C program.
pub fn asking(roots: Roots) -> [Contender; 3] {
    let module = |preconnect| Kind::Module { preconnect };
    [module(true), module(false), Kind::Least].map(|kind| Contender { kind, roots })
}

impl Contender {
    /// Without its roots, one of `asking`.
    pub fn short_name(&self) -> &'static str {
        match self.kind {
            Kind::Module { preconnect: true } => "pam_ivalt",
            Kind::Module { preconnect: false } => "pam_ivalt, preconnect = false",
            _ => "least C + OpenSSL",
        }
    }

    pub fn name(&self) -> String {
        let roots = match self.roots {
            Roots::One => "one CA",
            Roots::Bundle => "system's roots",
            Roots::Many => "many roots",
        };
        match &self.kind {
            Kind::Module { preconnect: true } => format!("pam_ivalt, {roots}"),
            Kind::Module { preconnect: false } => format!("pam_ivalt, {roots}, preconnect = false"),
            Kind::PamExec { .. } => format!("pam_exec + curl, {roots}"),
            Kind::Permit => "pam_permit (floor of the bench)".to_owned(),
            Kind::Least => format!("least C + OpenSSL, {roots}"),
        }
    }

    /// Writes what it reads, for all distances.
    pub fn prepare(&self, setup: &Setup) -> Result<(), Fault> {
        for distance in [Distance::Near, Distance::Far, Distance::Dead] {
            let service = self.service(distance);
            match &self.kind {
                Kind::Module { preconnect } => setup.write_module_service(
                    &service,
                    distance,
                    self.roots,
                    *preconnect,
                    &setup.path("users.toml"),
                )?,
                Kind::PamExec { curl } => {
                    let script = script(setup, curl, self.roots, distance);
                    let script = setup.write(&format!("{service}.sh"), &script, 0o755)?;
                    let line = format!(
                        "required pam_exec.so quiet expose_authtok {}",
                        script.display()
                    );
                    setup.write_service(&service, &line)?;
                }
                Kind::Permit => setup.write_service(&service, "required pam_permit.so")?,
                Kind::Least => {}
            }
        }
        Ok(())
    }

    /// The program of one login and its arguments.
    pub fn command(&self, setup: &Setup, distance: Distance, think_ms: i32) -> Vec<OsString> {
        let think = think_ms.to_string();
        if self.kind != Kind::Least {
            let token = setup.token(distance);
            return application(setup, &self.service(distance), USER, &token, &think);
        }
        let (host, port) = setup.address(distance);
        let mut words = vec![setup.tool("least").into(), host.into(), port.into()];
        words.push(setup.roots_file(self.roots).into());
        words.extend([setup.key(), MOBILE].map(OsString::from));
        words.extend([setup.token(distance), think].map(OsString::from));
        words
    }

    fn service(&self, distance: Distance) -> String {
        let kind = match self.kind {
            Kind::Module { preconnect: true } => "ahead",
            Kind::Module { preconnect: false } => "afterwards",
            Kind::PamExec { .. } => "exec",
            Kind::Permit => "permit",
            Kind::Least => "least",
        };
        format!("{kind}-{:?}-{distance:?}", self.roots).to_lowercase()
    }
}

/// tests/bench/login.c
pub fn application(
    setup: &Setup,
    service: &str,
    user: &str,
    token: &str,
    think_ms: &str,
) -> Vec<OsString> {
    let mut words = vec![setup.tool("login").into(), setup.confdir().into()];
    words.extend([service, user, token, think_ms].map(OsString::from));
    words
}

/// As an administrator would write it: nothing secret among arguments, a time-out, certificates verified, the answer
/// looked at. What pam_exec passes ends in a NUL.
fn script(setup: &Setup, curl: &str, roots: Roots, distance: Distance) -> String {
    let (host, port) = setup.address(distance);
    format!(
        r#"#!/bin/sh
token=$(tr -d '\000')
mobile=$(grep "^$PAM_USER = " {users} | cut -d '"' -f 2)
[ -n "$mobile" ] || exit 1
printf '{{"mobile":"%s","auth_token":"%s"}}' "$mobile" "$token" |
    {curl} --silent --fail --cacert {roots} --max-time 10 --header @{key} \
        --header 'content-type: application/json' --data-binary @- \
        https://{host}:{port}/admin/public/api/validate/global/rest/auth |
    grep -q '"status": *"success"'
"#,
        users = setup.path("users.toml").display(),
        roots = setup.roots_file(roots).display(),
        key = setup.path("key").display(),
    )
}
