//! The operations: where they live and which fields they demand. Those below `/admin/public/api` are documented by the
//! vendor's page "iVALT Authentication APIs (1.0.0)"; the others are those of [`push`](crate::push).

use serde_json::Value;

use crate::push::Push;

/// One operation.
pub struct Operation {
    path: &'static str,
    fields: &'static [&'static str],
    pub answers: Answers,
}

/// What chooses the answer.
pub enum Answers {
    /// These fields, in order.
    ByWords(&'static [&'static str]),
    /// What the owner of the phone did.
    ByPhone(Push),
}

use Answers::{ByPhone, ByWords};

const OPERATIONS: [Operation; 6] = [
    Operation {
        path: "/admin/public/api/validate/global/rest/auth",
        fields: &["mobile", "auth_token"],
        answers: ByWords(&["auth_token"]),
    },
    Operation {
        path: "/admin/public/api/api/v1/validate/user",
        fields: &["face_auth_token", "auth_token"],
        answers: ByWords(&["auth_token", "face_auth_token"]),
    },
    Operation {
        path: "/admin/public/api/api/v1/auth",
        fields: &["client_id", "client_secret"],
        answers: ByWords(&["client_secret"]),
    },
    Operation {
        path: "/biometric-auth-request",
        fields: &["mobile"],
        answers: ByPhone(Push::Start),
    },
    Operation {
        path: "/biometric-geo-fence-auth-results",
        fields: &["mobile"],
        answers: ByPhone(Push::GeoFenceResults),
    },
    Operation {
        path: "/biometric-auth-result",
        fields: &["mobile"],
        answers: ByPhone(Push::AuthResult),
    },
];

impl Operation {
    pub fn at(path: &str) -> Option<&'static Self> {
        OPERATIONS.iter().find(|operation| operation.path == path)
    }

    /// An object with exactly these fields, all of them strings; else what is wrong.
    pub fn check(&self, body: &Value) -> Result<(), String> {
        let object = body.as_object().ok_or("the body is not a JSON object")?;
        for field in self.fields.iter().copied() {
            let value = object.get(field).ok_or(format!("{field} is missing"))?;
            value.as_str().ok_or(format!("{field} is not a string"))?;
        }
        match object
            .keys()
            .find(|key| !self.fields.contains(&key.as_str()))
        {
            Some(key) => Err(format!("{key} is not a field of this operation")),
            None => Ok(()),
        }
    }
}
