//! The files of the contenders: roots, settings, users, service files, the script.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::Fault;
use crate::options::Options;

/// Round trip of the emulated network, in milliseconds; `scripts/bench` tells the relay half of it.
pub const ROUND_TRIP_MS: u32 = 50;

const NEAR: &str = "api.ivalt.test";
const DEAD: &str = "dead.ivalt.test";
const MANY_ROOTS: usize = 600;
const KEY: &str = "test-api-key";
pub const USER: &str = "alice";
pub const MOBILE: &str = "+916283974746";

/// The module's own list, see `SYSTEM_BUNDLES` there.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// How far away iVALT is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distance {
    /// On the loopback.
    Near,
    /// `ROUND_TRIP_MS` away.
    Far,
    /// As far, and a first address of the same name does not answer.
    Dead,
}

/// Whom a contender trusts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roots {
    /// The stand-in's authority alone.
    One,
    /// The system's and the stand-in's.
    Bundle,
    /// These and variants of the system's, `MANY_ROOTS` in all.
    Many,
}

/// Where everything is.
#[derive(Debug)]
pub struct Setup {
    work: PathBuf,
    tools: PathBuf,
    module: PathBuf,
    port: String,
    far: Option<String>,
    /// Certificates in the bundle.
    pub roots: usize,
}

impl Setup {
    pub fn prepare(options: &Options) -> Result<Self, Fault> {
        let port = fs::read_to_string(options.work.join("ivalt/port"))?;
        let mut setup = Self {
            work: options.work.clone(),
            tools: options.tools.clone(),
            module: options.module.clone(),
            port: port.trim().to_owned(),
            far: options.far.clone(),
            roots: 0,
        };
        fs::create_dir_all(setup.confdir())?;
        setup.roots = setup.write_bundle()?;
        setup.write("users.toml", &users(&[(USER, MOBILE)]), 0o600)?;
        setup.write("key", &format!("x-api-key: {KEY}\n"), 0o600)?;
        // libpam reads it before every other and complains when it is missing.
        setup.write("pam.d/other", "auth required pam_deny.so\n", 0o644)?;
        Ok(setup)
    }

    pub fn confdir(&self) -> PathBuf {
        self.work.join("pam.d")
    }

    pub fn tool(&self, name: &str) -> PathBuf {
        self.tools.join(name)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.work.join(name)
    }

    pub fn roots_file(&self, roots: Roots) -> PathBuf {
        match roots {
            Roots::One => self.path("ivalt/ca.pem"),
            Roots::Bundle => self.path("bundle.pem"),
            Roots::Many => self.path("many.pem"),
        }
    }

    pub fn number_of(&self, roots: Roots) -> usize {
        match roots {
            Roots::One => 1,
            Roots::Bundle => self.roots,
            Roots::Many => MANY_ROOTS,
        }
    }

    /// Host and port.
    pub fn address(&self, distance: Distance) -> (&str, &str) {
        match (distance, &self.far) {
            (Distance::Far, Some(far)) => (far, &self.port),
            (Distance::Dead, _) => (DEAD, &self.port),
            _ => (NEAR, &self.port),
        }
    }

    /// What the stand-in accepts; where the network has no delay, after one.
    pub fn token(&self, distance: Distance) -> String {
        match (distance, &self.far) {
            (Distance::Far, None) => format!("slow-{ROUND_TRIP_MS}"),
            _ => "accept-1".to_owned(),
        }
    }

    pub fn key(&self) -> &'static str {
        KEY
    }

    pub fn write(&self, name: &str, text: &str, mode: u32) -> Result<PathBuf, Fault> {
        let path = self.path(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        Ok(path)
    }

    /// A service whose only line is this.
    pub fn write_service(&self, name: &str, line: &str) -> Result<(), Fault> {
        self.write(&format!("pam.d/{name}"), &format!("auth {line}\n"), 0o644)?;
        Ok(())
    }

    /// A service with the module, its settings beside it.
    pub fn write_module_service(
        &self,
        name: &str,
        distance: Distance,
        roots: Roots,
        preconnect: bool,
        users: &Path,
    ) -> Result<(), Fault> {
        let (host, port) = self.address(distance);
        let settings = format!(
            "users_file = \"{}\"\n[api]\nurl = \"https://{host}:{port}/admin/public/api\"\nkey = \"{KEY}\"\n\
             ca_file = \"{}\"\npreconnect = {preconnect}\n",
            users.display(),
            self.roots_file(roots).display(),
        );
        let settings = self.write(&format!("{name}.toml"), &settings, 0o600)?;
        let line = format!(
            "required {} nodelay config={}",
            self.module.display(),
            settings.display()
        );
        self.write_service(name, &line)
    }

    /// The system's roots and the stand-in's; gives their number.
    fn write_bundle(&self) -> Result<usize, Fault> {
        let system = SYSTEM_BUNDLES.iter().find(|path| Path::new(path).exists());
        let system = system.ok_or("no trusted roots found; install the package ca-certificates")?;
        let (system, own) = (
            fs::read_to_string(system)?,
            fs::read_to_string(self.roots_file(Roots::One))?,
        );
        let bundle = system.clone() + &own;
        self.write("bundle.pem", &bundle, 0o644)?;
        self.write("many.pem", &many_roots(&system, &own), 0o644)?;
        Ok(bundle.matches("BEGIN CERTIFICATE").count())
    }
}

/// The stand-in's last, as in the bundle.
fn many_roots(system: &str, own: &str) -> String {
    let ends = system.split_inclusive("-----END CERTIFICATE-----\n");
    let system: Vec<&str> = ends.filter(|text| text.contains("BEGIN CERT")).collect();
    let variants =
        (0..MANY_ROOTS - 1).map(|at| variant(system[at % system.len()], at / system.len()));
    variants.collect::<String>() + own
}

/// A certificate with a signature of its own, which nobody checks of a root: the same work to read, and no duplicate.
fn variant(pem: &str, number: usize) -> String {
    let mut lines: Vec<String> = pem.lines().map(str::to_owned).collect();
    let place = lines.len() - 3;
    let last_full = &mut lines[place];
    let digit = [
        last_full.pop().unwrap_or('A'),
        'B',
        'C',
        'D',
        'E',
        'F',
        'G',
        'H',
    ];
    last_full.push(digit[number % digit.len()]);
    lines.join("\n") + "\n"
}

/// A `users.toml`.
pub fn users(entries: &[(&str, &str)]) -> String {
    let lines = entries
        .iter()
        .map(|(name, mobile)| format!("{name} = \"{mobile}\"\n"));
    "[users]\n".to_owned() + &lines.collect::<String>()
}
