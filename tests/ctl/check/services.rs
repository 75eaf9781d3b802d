//! Which services ask iVALT.

use super::System;

#[test]
fn every_form_of_a_line_with_ivalt() {
    for (name, text, asked) in [
        (
            "in brackets",
            "auth [success=ok default=die] pam_ivalt.so\n",
            true,
        ),
        ("quiet", "-auth required pam_ivalt.so debug\n", true),
        ("a substack", "auth substack second\n", true),
        ("Debian's include", "@include second\n", true),
        ("joined", "auth \\\nrequired \\\npam_ivalt.so\n", true),
        ("a comment", "# auth required pam_ivalt.so\n", false),
        (
            "behind a comment",
            "auth required pam_unix.so # pam_ivalt.so\n",
            false,
        ),
        ("itself", "auth include login\n@include login\n", false),
        ("another type", "session required pam_ivalt.so\n", false),
    ] {
        let system = System::healthy();
        system.write(
            "etc/pam.d/second",
            "auth required pam_unix.so\nauth required pam_ivalt.so\n",
        );
        let report = system.write("etc/pam.d/login", text).check().report;
        let services = report["services"].as_array().unwrap();
        assert_eq!(services.contains(&"login".into()), asked, "{name}");
    }
}
