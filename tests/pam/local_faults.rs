//! Faults of this host that come up while it connects: no outage of iVALT's, whatever `policy.unavailable` says.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use crate::corrupt::{OWNER, give_away, mode, pad};
use crate::dns::{self, Kind};
use crate::expect::*;
use crate::table::{self, SUCCESS, url, with_lines};
use support::codes::PAM_SERVICE_ERR;
use support::server::{Anchor, Certificate, Server, anchored, answer, black_hole};
use support::{Case, Reply, helper_module, no_root, sandbox_test};

const TOLERANT: &str = "[policy]\nunavailable = \"ignore\"\n";
/// Bundles above 32 KiB are read again for a further issuer.
const LARGE: usize = 33 * 1024;

/// A large bundle with two roots. While the user types the first token, which is refused over a connection by the one,
/// the bundle is replaced by a copy that was changed so; then a connection by the other is made. The cause in the log.
fn cause_after_replacing_the_bundle(change: impl Fn(&Path)) -> String {
    let (root, chain, key) = anchored(Anchor::Expired);
    let chains = vec![(chain, key), Certificate::Valid.chain_and_key()];
    let server = Server::answering_in_turn(chains, answer("403 X", "", b"{}"));
    let mut case = with_lines(table::case(&url(&server)), TOLERANT);
    let path = case.dir().join("faults-ca.pem");
    let both = root + &fs::read_to_string(&path).unwrap();
    let bundle = both.repeat(LARGE / both.len() + 1);
    fs::write(&path, &bundle).unwrap();
    let changed = case.dir().write("changed.pem", &bundle, 0o644);
    change(&changed);
    case.script.answers[0] = Reply {
        answer: Some("accept-1".into()),
        renames: vec![(changed, path.clone())],
        ..Reply::default()
    }
    .into();
    let report = case.run();
    let line = expect(&report, MISCONFIGURED);
    assert_eq!(report.told(), [BROKEN]);
    assert_eq!(
        (server.tokens(), line.get("attempts")),
        (vec!["accept-1".to_owned()], "2".to_owned())
    );
    let path = path.to_str().unwrap();
    line.get("cause").replace(path, "CA")
}

#[sandbox_test]
fn a_bundle_that_cannot_be_used_for_a_further_handshake() {
    let emptied = |path: &Path| fs::write(path, "# none\n").unwrap();
    assert_eq!(
        cause_after_replacing_the_bundle(emptied),
        "CA: holds no certificate in PEM form; inspect: openssl x509 -in CA -noout -text"
    );
    assert_eq!(
        cause_after_replacing_the_bundle(|path| mode(path, 0o666)),
        "api.ca_file: CA: is writable by group or others (mode 0666); run: chmod go-w CA"
    );
    assert_eq!(
        cause_after_replacing_the_bundle(|path| pad(path, (1 << 20) + 1)),
        "api.ca_file: CA: is larger than 1 MiB; inspect: ls -l CA"
    );
    if no_root(OWNER) {
        return;
    }
    assert_eq!(
        cause_after_replacing_the_bundle(give_away),
        "api.ca_file: CA: belongs to user id 4242, not to root; run: chown root:root CA"
    );
}

/// The causes with one descriptor and with more, until there are enough; the caller of su can set the limit. The module
/// below ours closes standard input, so that libpam has one for its own record and the code is ours.
fn causes_with_few_descriptors(case: impl Fn() -> Case) -> Vec<String> {
    let module = helper_module("pam_misbehave");
    let closes = format!("auth optional {} closes-stdin", module.display());
    let mut causes = Vec::new();
    for limit in 4..16 {
        let mut case = with_lines(case(), TOLERANT).line_after(&closes);
        case.script.soft_limits.insert("NOFILE".to_owned(), limit);
        let observed = case.observe();
        let report = observed.report();
        if report.log_lines().is_empty() {
            // Not even for the log.
            assert_eq!(report.code(), PAM_SERVICE_ERR);
            continue;
        }
        if report.log_line().reason() == "verified" {
            expect(report, VERIFIED);
            return causes;
        }
        causes.push(expect(report, MISCONFIGURED).get("cause"));
    }
    panic!("never enough: {causes:?}")
}

/// The attempt at the first address, which never answers, has the last descriptor.
#[sandbox_test]
fn too_few_descriptors_for_a_second_address() {
    let hole = black_hole((Ipv4Addr::new(127, 77, 9, 1), 0).into());
    let dead = hole.0.local_addr().unwrap();
    let alive = SocketAddr::from((Ipv4Addr::new(127, 77, 9, 2), dead.port()));
    let server = Server::answering_at(alive, answer("200 OK", "", SUCCESS));
    let case = || {
        let case = table::case(&format!("https://valid.example:{}", server.port));
        let hosts = "127.77.9.1 valid.example\n127.77.9.2 valid.example\n";
        let hosts = case.dir().write("hosts", hosts, 0o644);
        let switch = case.dir().write("nsswitch.conf", "hosts: files\n", 0o644);
        case.bind(hosts, "/etc/hosts")
            .bind(switch, "/etc/nsswitch.conf")
    };
    let causes = causes_with_few_descriptors(case);
    let cause =
        "connect: too many open files; raise the limit: ulimit -n, or LimitNOFILE= of the unit";
    assert_eq!(causes.last().unwrap(), cause);
}

/// The socket that asks the first name server, which never answers, has the last one.
#[sandbox_test]
fn too_few_descriptors_for_a_second_name_server() {
    let Some(list) = dns::servers(&[Kind::Silent, Kind::Addresses(&[Ipv4Addr::LOCALHOST])]) else {
        return;
    };
    let server = Server::answering(answer("200 OK", "", SUCCESS));
    let case = || dns::case("valid.example", server.port, 5, &list);
    let causes = causes_with_few_descriptors(case);
    let cause =
        "dns: the system could not look the name up; are there enough descriptors? run: ulimit -n";
    assert_eq!(causes.last().unwrap(), cause);
}

/// glibc then says of an outage what it says for want of descriptors.
#[sandbox_test]
fn an_outage_where_a_name_service_is_not_installed() {
    let server = Server::answering(answer("200 OK", "", SUCCESS));
    let nobody = Ipv4Addr::new(127, 77, 9, 3);
    let case = dns::case("valid.example", server.port, 5, &[nobody]);
    let case = with_lines(case, TOLERANT);
    let switch = "hosts: files dns absent\n";
    case.dir().write("nsswitch.conf", switch, 0o644);
    let line = expect(&case.run(), IGNORED_UNAVAILABLE);
    assert_eq!(
        line.get("cause"),
        "dns: the system could not look the name up"
    );
}
