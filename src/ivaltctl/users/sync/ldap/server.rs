//! What kind of directory it is, and which of its attributes people may change by themselves.

use super::ldif::Entry;
use super::program::Query;

/// What the root DSE (RFC 4512 section 5.1) says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Active Directory, or Samba as a domain controller; with the DN of its schema.
    ActiveDirectory(String),
    /// FreeIPA.
    FreeIpa,
    /// Anything else: its rules cannot be read.
    Other,
}

/// `LDAP_CAP_ACTIVE_DIRECTORY_OID`, `LDAP_CAP_ACTIVE_DIRECTORY_ADAM_OID`
const CAPABILITIES: [&str; 2] = ["1.2.840.113556.1.4.800", "1.2.840.113556.1.4.1851"];

/// Property sets that AD's schema lets every user write in the own entry (`PS` in the default security descriptor of the
/// class user): their GUIDs as attributeSecurityGUID has them, and their names.
const OWN_PROPERTY_SETS: [([u8; 16], &str); 3] = [
    (
        [
            0x86, 0xb8, 0xb5, 0x77, 0x4a, 0x94, 0xd1, 0x11, 0xae, 0xbd, 0, 0, 0xf8, 3, 0x67, 0xc1,
        ],
        "Personal Information",
    ),
    (
        [
            0xb2, 0x95, 0x57, 0xe4, 0x55, 0x94, 0xd1, 0x11, 0xae, 0xbd, 0, 0, 0xf8, 3, 0x67, 0xc1,
        ],
        "Phone and Mail Options",
    ),
    (
        [
            0xb3, 0x95, 0x57, 0xe4, 0x55, 0x94, 0xd1, 0x11, 0xae, 0xbd, 0, 0, 0xf8, 3, 0x67, 0xc1,
        ],
        "Web Information",
    ),
];

/// FreeIPA's "User Self service", as installed, by all short names: its server answers by the one that it is asked for
/// (RFC 4519, RFC 4524, RFC 2798).
const OF_FREEIPA: [&str; 40] = [
    "gn",
    "surname",
    "commonName",
    "homeTelephoneNumber",
    "mobileTelephoneNumber",
    "pagerTelephoneNumber",
    "fax",
    "streetAddress",
    "localityName",
    "stateOrProvinceName",
    "organizationalUnitName",
    "givenName",
    "sn",
    "cn",
    "displayName",
    "title",
    "initials",
    "loginShell",
    "gecos",
    "homePhone",
    "mobile",
    "pager",
    "facsimileTelephoneNumber",
    "telephoneNumber",
    "street",
    "roomNumber",
    "l",
    "st",
    "postalCode",
    "manager",
    "secretary",
    "description",
    "carLicense",
    "labeledURI",
    "inetUserHTTPURL",
    "seeAlso",
    "employeeType",
    "businessCategory",
    "ou",
    "preferredLanguage",
];

/// An attribute that its owner may change, and by which rule.
#[derive(Debug, PartialEq, Eq)]
pub struct OwnersMay {
    /// As the settings have it.
    pub attribute: String,
    /// In words.
    pub rule: String,
}

/// The attributes of the root DSE that tell.
pub const OF_ROOT_DSE: [&str; 3] = [
    "supportedCapabilities",
    "schemaNamingContext",
    "ipaTopologyPluginVersion",
];

/// By the attributes of [`OF_ROOT_DSE`].
pub fn kind(root_dse: &Entry) -> Kind {
    let is = |oid: &&str| root_dse.has("supportedCapabilities", oid);
    if CAPABILITIES.iter().any(is) {
        let schema = root_dse.values("schemaNamingContext").next();
        let schema = String::from_utf8_lossy(schema.unwrap_or_default());
        return Kind::ActiveDirectory(schema.into_owned());
    }
    // Of a plug-in that every server has since FreeIPA 4.3.
    match root_dse.values("ipaTopologyPluginVersion").next() {
        Some(_) => Kind::FreeIpa,
        None => Kind::Other,
    }
}

/// The question to AD's schema about these attributes.
pub fn filter(attributes: &[&str]) -> String {
    let each = attributes
        .iter()
        .map(|name| format!("(lDAPDisplayName={name})"));
    format!("(|{})", each.collect::<String>())
}

/// The question with that filter.
pub fn query<'a>(schema: &'a str, filter: &'a str) -> Query<'a> {
    Query {
        scope: "one",
        base: schema,
        filter,
        attributes: vec!["lDAPDisplayName", "attributeSecurityGUID"],
    }
}

/// Those of `attributes` that AD's schema puts into a set that every user may write.
///
/// # Errors
/// One that the schema does not have.
pub fn of_schema<'a>(schema: &[Entry], attributes: &[&'a str]) -> Result<Vec<OwnersMay>, &'a str> {
    let mut found = Vec::new();
    for name in attributes {
        let entry = schema
            .iter()
            .find(|entry| entry.has("lDAPDisplayName", name));
        let entry = entry.ok_or(*name)?;
        let sets = OWN_PROPERTY_SETS.iter();
        let set = sets.clone().find(|(guid, _)| {
            entry
                .values("attributeSecurityGUID")
                .any(|value| value == guid)
        });
        found.extend(set.map(|(_, set)| OwnersMay {
            attribute: (*name).to_owned(),
            rule: format!("Active Directory's property set {set}"),
        }));
    }
    Ok(found)
}

/// Those of `attributes` that FreeIPA lets every user write.
pub fn of_freeipa(attributes: &[&str]) -> Vec<OwnersMay> {
    let is_own = |name: &&&str| OF_FREEIPA.iter().any(|own| own.eq_ignore_ascii_case(name));
    let own = attributes.iter().filter(is_own);
    own.map(|name| OwnersMay {
        attribute: (*name).to_owned(),
        rule: "FreeIPA's self-service rules".to_owned(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::super::ldif;
    use super::*;

    fn entries(text: &str) -> Vec<Entry> {
        ldif::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn which_directory_it_is() {
        let kind = |lines: &str| kind(&entries(&format!("dn:\n{lines}\n\n"))[0]);
        let ad = "supportedCapabilities: 1.2.840.113556.1.4.1670\nsupportedCapabilities: 1.2.840.113556.1.4.800\nschemaNamingContext: CN=Schema,DC=x";
        assert_eq!(kind(ad), Kind::ActiveDirectory("CN=Schema,DC=x".into()));
        let lds = "supportedCapabilities: 1.2.840.113556.1.4.1851\nschemaNamingContext: CN=S";
        assert_eq!(kind(lds), Kind::ActiveDirectory("CN=S".into()));
        assert_eq!(
            kind("vendorName: 389 Project\nipatopologypluginversion: 1.0"),
            Kind::FreeIpa
        );
        assert_eq!(kind("vendorName: 389 Project"), Kind::Other);
        assert_eq!(kind("structuralObjectClass: OpenLDAProotDSE"), Kind::Other);
    }

    #[test]
    fn what_the_schema_lets_people_write() {
        // 77b5b886-944a-11d1-aebd-0000f80367c1, e45795b2-…, e45795b3-…, 59ba2f42-79a2-11d0-9020-00c04fc2d3cf
        let schema = entries(
            "dn: CN=Phone-Mobile-Primary\nlDAPDisplayName: mobile\nattributeSecurityGUID:: hri1d0qU0RGuvQAA+ANnwQ==\n\n\
             dn: CN=b\nlDAPDisplayName: b\nattributeSecurityGUID:: spVX5FWU0RGuvQAA+ANnwQ==\n\n\
             dn: CN=c\nlDAPDisplayName: c\nattributeSecurityGUID:: s5VX5FWU0RGuvQAA+ANnwQ==\n\n\
             dn: CN=d\nlDAPDisplayName: d\nattributeSecurityGUID:: Qi+6WaJ50BGQIADAT8LTzw==\n\n\
             dn: CN=Employee-Number\nlDAPDisplayName: employeeNumber\n\n",
        );
        let names = |found: Vec<OwnersMay>| {
            found
                .into_iter()
                .map(|own| own.attribute)
                .collect::<Vec<_>>()
        };
        let found = of_schema(&schema, &["Mobile", "b", "c", "d", "employeeNumber"]).unwrap();
        assert_eq!(
            found[0].rule,
            "Active Directory's property set Personal Information"
        );
        assert_eq!(names(found), ["Mobile", "b", "c"]);
        assert_eq!(
            of_schema(&schema, &["employeeNumber", "moblie"]),
            Err("moblie")
        );
        assert_eq!(
            filter(&["a", "b"]),
            "(|(lDAPDisplayName=a)(lDAPDisplayName=b))"
        );
        assert_eq!(
            names(of_freeipa(&["uid", "MOBILE", "employeeNumber", "pager"])),
            ["MOBILE", "pager"]
        );
        assert_eq!(
            names(of_freeipa(&[
                "mobileTelephoneNumber",
                "pagertelephonenumber",
                "fax"
            ])),
            ["mobileTelephoneNumber", "pagertelephonenumber", "fax"]
        );
    }
}
