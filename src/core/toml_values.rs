//! The values of a TOML text, as serde asks for them. toml's own deserializer tries every kind of value for every type;
//! compiled for the settings, it is larger than its parser. This one goes by the type alone, and its errors quote no
//! value.

use std::fmt::Display;
use std::ops::Range;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_spanned::Spanned;
use serde_spanned::de::{SpannedDeserializer, is_spanned};
use toml::de::{DeString, DeValue};

/// A value that serde does not take. Behind a pointer: every value's result has room for it.
#[derive(Debug)]
pub(crate) struct Error(Box<Fault>);

#[derive(Debug)]
struct Fault {
    message: String,
    span: Option<Range<usize>>,
    /// The last one first.
    keys: Vec<String>,
}

impl Error {
    /// serde's sentence, or its end: `, expected a boolean`.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where it is, in bytes.
    pub fn span(&self) -> Range<usize> {
        self.0.span.clone().unwrap_or(0..0)
    }

    /// The keys that lead there: `api.key`.
    pub fn key(&self) -> String {
        let keys: Vec<_> = self.0.keys.iter().rev().map(String::as_str).collect();
        keys.join(".")
    }

    #[inline(never)]
    fn at(mut self, span: Range<usize>) -> Self {
        self.0.span.get_or_insert(span);
        self
    }

    #[inline(never)]
    fn below(mut self, key: DeString<'_>) -> Self {
        self.0.keys.push(key.into_owned());
        self
    }

    #[inline(never)]
    fn mismatch(expected: &dyn Expected) -> Self {
        Self::custom(format_args!(", expected {expected}"))
    }

    #[inline(never)]
    fn of(message: String) -> Self {
        Self(Box::new(Fault {
            message,
            span: None,
            keys: Vec::new(),
        }))
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::of(message.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::mismatch(expected)
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::mismatch(expected)
    }
}

/// A value that is to be deserialized.
pub(crate) struct Value<'de>(pub Spanned<DeValue<'de>>);

impl<'de> IntoDeserializer<'de, Error> for Value<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0.get_ref() {
            DeValue::String(_) => self.deserialize_str(visitor),
            DeValue::Integer(_) => self.deserialize_i64(visitor),
            DeValue::Boolean(_) => self.deserialize_bool(visitor),
            DeValue::Array(_) => self.deserialize_seq(visitor),
            DeValue::Table(_) => self.deserialize_map(visitor),
            DeValue::Float(_) | DeValue::Datetime(_) => Err(Error::mismatch(&visitor)),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0.into_inner() {
            DeValue::String(text) => visitor.visit_str(&text),
            _ => Err(Error::mismatch(&visitor)),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match integer(self.0.get_ref()) {
            Some(number) => visitor.visit_i64(number),
            None => Err(Error::mismatch(&visitor)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0.get_ref() {
            DeValue::Boolean(flag) => visitor.visit_bool(*flag),
            _ => Err(Error::mismatch(&visitor)),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0.into_inner() {
            DeValue::Array(items) => visitor.visit_seq(Items(items.into_iter())),
            _ => Err(Error::mismatch(&visitor)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0.into_inner() {
            DeValue::Table(entries) => visitor.visit_map(Entries {
                entries: entries.into_iter(),
                value: None,
            }),
            _ => Err(Error::mismatch(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if is_spanned(name) {
            let span = self.0.span();
            return visitor.visit_map(SpannedDeserializer::new(self, span));
        }
        self.deserialize_map(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        u8 u16 u32 u64 u128 i8 i16 i32 i128 f32 f64 char bytes byte_buf unit ignored_any unit_struct tuple_struct tuple
        enum identifier
    }
}

/// A number within TOML's bounds.
fn integer(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

struct Items<'de>(std::vec::IntoIter<Spanned<DeValue<'de>>>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some(item) = self.0.next() else {
            return Ok(None);
        };
        let span = item.span();
        let item = seed.deserialize(Value(item));
        item.map(Some).map_err(|error| error.at(span))
    }
}

struct Entries<'de> {
    entries: toml::map::IntoIter<Spanned<DeString<'de>>, Spanned<DeValue<'de>>>,
    /// That of the last key.
    value: Option<(DeString<'de>, Value<'de>)>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some((key, value)) = self.entries.next() else {
            return Ok(None);
        };
        let (span, key) = (key.span(), key.into_inner());
        let found = seed
            .deserialize(StrDeserializer::new(&key))
            .map_err(|error: Error| error.at(span))?;
        self.value = Some((key, Value(value)));
        Ok(Some(found))
    }

    #[inline(never)]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (key, value) = self
            .value
            .take()
            .ok_or_else(|| Error::custom("a value without a key"))?;
        let span = value.0.span();
        seed.deserialize(value)
            .map_err(|error| error.at(span).below(key))
    }
}

/// Whether `toml::Value` can hold a value without others in it.
pub(crate) fn is_representable(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::Integer(_) => integer(value).is_some(),
        // Of a number too large, Rust makes an infinite one.
        DeValue::Float(number) => {
            let written = number.as_str();
            let number = written.parse::<f64>();
            number.is_ok_and(|number| !number.is_infinite() || written.contains("inf"))
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use toml::de::{DeTable, ValueDeserializer};

    #[derive(Debug, Default, PartialEq, Eq, Deserialize)]
    #[serde(deny_unknown_fields, default, expecting = "a table")]
    struct All {
        text: String,
        flag: bool,
        number: i64,
        list: Vec<String>,
        optional: Option<Spanned<i64>>,
        table: Below,
    }

    #[derive(Debug, Default, PartialEq, Eq, Deserialize)]
    #[serde(deny_unknown_fields, default, expecting = "a table")]
    struct Below {
        flag: bool,
    }

    fn parse(text: &str) -> Result<All, Error> {
        let table = DeTable::parse(text).unwrap();
        let table = Spanned::new(table.span(), DeValue::Table(table.into_inner()));
        All::deserialize(Value(table))
    }

    #[test]
    fn every_kind_of_value_arrives() {
        let text = r#"text = "a\u0062"
            flag = true
            number = 0x1F
            list = ["x", 'y']
            optional = 7
            table.flag = true"#;
        let all = parse(text).unwrap();
        let expected = All {
            text: "ab".to_owned(),
            flag: true,
            number: 31,
            list: ["x", "y"].map(str::to_owned).into(),
            optional: Some(Spanned::new(0..0, 7)),
            table: Below { flag: true },
        };
        assert_eq!(all, expected);
        assert_eq!(parse("").unwrap(), All::default());
        let optional = parse("flag = true\noptional = 7").unwrap().optional;
        assert_eq!(optional.unwrap().span(), 23..24);
    }

    /// Their place and key, and what was expected: nothing of the value.
    #[test]
    fn errors_quote_no_value() {
        for (text, place, key, expected) in [
            ("text = 42", 7..9, "text", ", expected a string"),
            ("text = 1979-05-27", 7..17, "text", ", expected a string"),
            ("flag = 'SECRET'", 7..15, "flag", ", expected a boolean"),
            ("number = 4.2", 9..12, "number", ", expected i64"),
            (
                "number = 9223372036854775808",
                9..28,
                "number",
                ", expected i64",
            ),
            ("optional = 'SECRET'", 11..19, "optional", ", expected i64"),
            ("list = 'SECRET'", 7..15, "list", ", expected a sequence"),
            ("list = ['x', 42]", 13..15, "list", ", expected a string"),
            ("table = [true]", 8..14, "table", ", expected a table"),
            ("table = 1979-05-27", 8..18, "table", ", expected a table"),
            (
                "[table]\nflag = 42",
                15..17,
                "table.flag",
                ", expected a boolean",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!((error.span(), error.key().as_str()), (place, key), "{text}");
            assert_eq!(error.message(), expected, "{text}");
        }
        let unknown = parse("[table]\nflags = 1").unwrap_err();
        assert_eq!((unknown.span(), unknown.key().as_str()), (8..13, "table"));
        assert_eq!(unknown.message(), "unknown field `flags`, expected `flag`");
    }

    /// As `toml` itself has it.
    #[test]
    fn numbers_are_within_bounds() {
        for text in [
            "0",
            "9223372036854775807",
            "9223372036854775808",
            "-9223372036854775808",
            "-9223372036854775809",
            "0x7FFFFFFFFFFFFFFF",
            "0x8000000000000000",
            "0o7",
            "0b1",
            "1_000",
            "340282366920938463463374607431768211456",
            "1.5",
            "1e308",
            "1e309",
            "-1e309",
            "1e-400",
            "inf",
            "-inf",
            "nan",
            "1979-05-27T07:32:00Z",
            "07:32:00",
        ] {
            let value = DeValue::parse(text).unwrap();
            let expected = toml::Value::deserialize(ValueDeserializer::from(value.clone()));
            assert_eq!(
                is_representable(value.get_ref()),
                expected.is_ok(),
                "{text}"
            );
        }
    }
}
