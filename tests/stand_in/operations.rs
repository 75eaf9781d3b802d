//! The three documented operations: where they live and which fields they demand.
//! Source: the vendor's page "iVALT Authentication APIs (1.0.0)".

use serde_json::Value;

/// What the documented base URL ends in.
const BASE: &str = "/admin/public/api/";

/// One documented operation.
pub struct Operation {
    path: &'static str,
    fields: [&'static str; 2],
    /// The fields that choose the answer, in order.
    words: &'static [&'static str],
}

const OPERATIONS: [Operation; 3] = [
    Operation {
        path: "validate/global/rest/auth",
        fields: ["mobile", "auth_token"],
        words: &["auth_token"],
    },
    Operation {
        path: "api/v1/validate/user",
        fields: ["face_auth_token", "auth_token"],
        words: &["auth_token", "face_auth_token"],
    },
    Operation {
        path: "api/v1/auth",
        fields: ["client_id", "client_secret"],
        words: &["client_secret"],
    },
];

impl Operation {
    pub fn at(path: &str) -> Option<&'static Self> {
        let below = path.strip_prefix(BASE)?;
        OPERATIONS.iter().find(|operation| operation.path == below)
    }

    /// An object with exactly the documented fields, all of them strings; else what is wrong.
    pub fn check(&self, body: &Value) -> Result<(), String> {
        let object = body.as_object().ok_or("the body is not a JSON object")?;
        for field in self.fields {
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

    /// The words that choose the answer; for a body that passed [`check`](Self::check).
    pub fn words<'a>(&self, body: &'a Value) -> Vec<&'a str> {
        let word = |field: &&str| body[*field].as_str().unwrap_or_default();
        self.words.iter().map(word).collect()
    }
}
