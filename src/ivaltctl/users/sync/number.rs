//! Mobile numbers as directories hold them, made E.164 by what `[map]` says of the country. What could be another number
//! than is meant is refused: a wrong number is somebody else's phone.
//!
//! Held to a table of all regions, see `tests/numbers/regions.tsv`.

use super::settings::Map;
use crate::users::number;
use ivalt_core::settings::MobileFormat;
use ivalt_core::users::Mobile;

/// Its mobiles have a 9 after the country code that is not dialled within the country, and a 15 that is not dialled from
/// outside.
const ARGENTINA: &str = "54";
/// Belarus; its trunk prefix is `80`, not `8`.
const BELARUS: &str = "375";
/// Where the 0 at the beginning of a mobile is part of it: Ivory Coast, Benin, Gabon, the Congo.
const KEEP_THE_0: [&str; 4] = ["225", "229", "241", "242"];
/// Where an 8 is dialled first within the country, and no mobile begins with one: Russia and Kazakhstan, Turkmenistan.
const EIGHT: [&str; 3] = ["7", "993", BELARUS];
/// No number there begins with the 1 that is dialled before a distant one.
const NORTH_AMERICA: &str = "1";
/// Its trunk prefix is `06`, not `0`.
const HUNGARY: &str = "36";
/// Where the digits of a carrier, or a prefix that is easily forgotten in the settings, may be dialled before a number, and
/// how many digits a mobile has at most without them: the Faroe Islands, Luxembourg, Liechtenstein, Costa Rica, Cuba,
/// Brazil, Colombia, Venezuela, Bolivia, the Marshall Islands, South Korea, China.
const LONGEST: [(&str, usize); 12] = [
    ("298", 6),
    ("352", 9),
    ("423", 9),
    ("506", 8),
    ("53", 8),
    ("55", 11),
    ("57", 10),
    ("58", 10),
    ("591", 8),
    ("692", 7),
    ("82", 10),
    ("86", 11),
];
/// The country codes of two digits (ITU-T E.164, list of assigned codes); 1 and 7 have one, all others three.
const TWO_DIGITS: &str = "20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98";

/// Reads a number of the source. With `mobile_format = "national"` it is read as `users import` reads it.
///
/// # Errors
/// What is wrong with it, without the number, which is personal data.
pub fn read(written: &str, map: &Map, format: MobileFormat) -> Result<Mobile, String> {
    if format == MobileFormat::National {
        return number::read(written, format);
    }
    let compact = number::without_blanks(without_tel(written));
    let (compact, zero) = without_zero(&compact, map)?;
    let plain = number::plain(&compact)?;
    let digits = match international(&plain, map) {
        Some(digits) => {
            refuse_trunk_after_country(digits, map)?;
            digits.to_owned()
        }
        None if zero => return Err(zero_in_parentheses()),
        None => format!("{}{}", map.country, national(&plain, map)?),
    };
    number::read(&format!("+{digits}"), format)
}

/// RFC 3966.
fn without_tel(written: &str) -> &str {
    let written = written.trim();
    match written.get(..4) {
        Some(scheme) if scheme.eq_ignore_ascii_case("tel:") => &written[4..],
        _ => written,
    }
}

/// `+49(0)171…` without `(0)`: only right behind the country code, and only of the country whose trunk prefix is known
/// to be 0.
fn without_zero(compact: &str, map: &Map) -> Result<(String, bool), String> {
    let Some((before, after)) = compact.split_once("(0)") else {
        return Ok((compact.to_owned(), false));
    };
    let before_is_country = number::plain(before).is_ok_and(|plain| {
        let digits = international(&plain, map);
        digits.is_some_and(|digits| !digits.is_empty() && digits == map.country)
    });
    if map.trunk != "0" || !before_is_country || after.contains("(0)") {
        return Err(zero_in_parentheses());
    }
    Ok((format!("{before}{after}"), true))
}

fn zero_in_parentheses() -> String {
    "the mobile contains (0), which is dialled only within the country; write it without".to_owned()
}

/// The digits after `+`, or after what is dialled in its place.
fn international<'p>(plain: &'p str, map: &Map) -> Option<&'p str> {
    let prefix = Some(map.international.as_str()).filter(|prefix| !prefix.is_empty());
    let dialled = || prefix.and_then(|prefix| plain.strip_prefix(prefix));
    plain.strip_prefix('+').or_else(dialled)
}

/// `+49 0171 …`, of whatever country.
fn refuse_trunk_after_country(digits: &str, map: &Map) -> Result<(), String> {
    let (country, rest) = digits.split_at(country_code_length(digits));
    let is_own = !map.trunk.is_empty() && country == map.country;
    let trunk = match rest.get(..1) {
        _ if is_own && rest.starts_with(&map.trunk) => &map.trunk,
        Some(first) if is_dialled(country, first) => first,
        _ if is_too_long(country, rest) => {
            return Err("the mobile has more digits than a mobile of its country; write it without what is only dialled".to_owned());
        }
        _ => return Ok(()),
    };
    Err(format!(
        "the mobile has {trunk} after the country code, which is dialled only within the country; write it without"
    ))
}

fn is_too_long(country: &str, rest: &str) -> bool {
    let mut longest = LONGEST.iter().filter(|(code, _)| *code == country);
    longest.any(|(_, digits)| rest.len() > *digits)
}

/// Whether no mobile of the country begins with this digit, since it is dialled before all of them.
fn is_dialled(country: &str, first: &str) -> bool {
    match first {
        "0" => !KEEP_THE_0.contains(&country),
        "1" => country == NORTH_AMERICA,
        "6" => country == HUNGARY,
        "8" => EIGHT.contains(&country),
        _ => false,
    }
}

fn country_code_length(digits: &str) -> usize {
    let two = digits.get(..2).unwrap_or(digits);
    let length = match digits.as_bytes() {
        [b'1' | b'7', ..] => 1,
        _ if TWO_DIGITS.split(' ').any(|code| code == two) => 2,
        _ => 3,
    };
    length.min(digits.len())
}

/// The digits of a national number after the country code.
fn national<'p>(plain: &'p str, map: &Map) -> Result<&'p str, String> {
    let refuse = |why: &str| {
        Err(format!(
            "the mobile {why}; write + and the country code in front"
        ))
    };
    if map.country.is_empty() {
        return match plain.starts_with("00") {
            true => refuse(
                "begins with 00, and international under [map] in directory.toml does not say that this is +",
            ),
            false => {
                refuse("has no country code, and country under [map] in directory.toml names none")
            }
        };
    }
    if map.country == ARGENTINA {
        return refuse("is in national form, of which Argentina's cannot be read without doubt");
    }
    let Some(rest) = plain.strip_prefix(map.trunk.as_str()) else {
        let trunk = &map.trunk;
        return refuse(&format!(
            "does not begin with {trunk}, with which national numbers do (trunk under [map]), so that its country is in doubt"
        ));
    };
    if map.trunk.is_empty() && rest.starts_with(&map.country) {
        return refuse("begins with the digits of the country code, and may have it already");
    }
    let lacks_its_0 = KEEP_THE_0.contains(&map.country.as_str()) && !rest.starts_with('0');
    let is_dialled = |first: &str| is_dialled(&map.country, first);
    if lacks_its_0 || rest.get(..1).is_some_and(is_dialled) {
        return refuse(
            "does not begin as a mobile of its country does (trunk and international under [map])",
        );
    }
    if is_too_long(&map.country, rest) {
        return refuse(
            "has more digits than a mobile of its country, and may have those of a carrier in front",
        );
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is right, and how it is written: REGION, country, trunk, international, E.164, then forms. A form that another
    /// program takes for another number has that behind `|`.
    const REGIONS: &str = include_str!("../../../../tests/numbers/regions.tsv");

    struct Row<'t> {
        region: &'t str,
        map: Map,
        right: &'t str,
        forms: Vec<(&'t str, &'t str)>,
    }

    fn rows() -> Vec<Row<'static>> {
        let lines = REGIONS.lines().filter(|line| !line.starts_with('#'));
        let row = |line: &'static str| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [region, country, trunk, international, right, forms @ ..] = &fields[..] else {
                panic!("{line}");
            };
            let form = |form: &&'static str| form.split_once('|').unwrap_or((form, right));
            Row {
                region,
                map: map(country, trunk, international),
                right,
                forms: forms.iter().map(form).collect(),
            }
        };
        lines.map(row).collect()
    }

    fn map(country: &str, trunk: &str, international: &str) -> Map {
        Map {
            country: country.to_owned(),
            trunk: trunk.to_owned(),
            international: international.to_owned(),
            ..Map::default()
        }
    }

    fn e164(written: &str, map: &Map) -> Result<String, String> {
        read(written, map, MobileFormat::E164).map(|mobile| mobile.as_str().to_owned())
    }

    #[test]
    fn in_every_region_a_number_is_right_or_refused() {
        let (mut right, mut refused) = (0, 0);
        let mut wrong = Vec::new();
        for row in rows() {
            assert_eq!(e164(row.right, &row.map), Ok(row.right.to_owned()));
            for (written, meant) in &row.forms {
                match e164(written, &row.map) {
                    Ok(read) if read == *meant => right += 1,
                    Ok(read) => wrong.push((row.region, *written, read, *meant)),
                    Err(_) => refused += 1,
                }
            }
        }
        assert_eq!(wrong, [], "{} wrong", wrong.len());
        assert!(
            right > 4000 && refused < right,
            "{right} right, {refused} refused"
        );
    }

    /// The forms that people write and directories hold are not only not wrong, but read: with +, and as dialled at home.
    #[test]
    fn the_usual_forms_are_read() {
        for row in rows() {
            let digits = row.right.trim_start_matches('+');
            let home = &digits[row.map.country.len()..];
            let abroad = format!("{}{digits}", row.map.international);
            assert_eq!(e164(&abroad, &row.map).as_deref(), Ok(row.right));
            let dialled = format!("{}{home}", row.map.trunk);
            let in_doubt = row.map.country == ARGENTINA
                || (row.map.trunk.is_empty() && home.starts_with(&row.map.country));
            if !in_doubt {
                assert_eq!(
                    e164(&dialled, &row.map).as_deref(),
                    Ok(row.right),
                    "{}",
                    row.region
                );
            }
        }
    }

    /// Somebody has set the country alone.
    #[test]
    fn without_trunk_and_international_a_number_is_right_or_refused() {
        for row in rows() {
            for (written, meant) in &row.forms {
                for map in [
                    map(&row.map.country, "", ""),
                    map(&row.map.country, "", &row.map.international),
                    map("", "", ""),
                ] {
                    if let Ok(read) = e164(written, &map) {
                        assert_eq!(read, *meant, "{} {written} {map:?}", row.region);
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_ambiguous_has_its_sentence() {
        let germany = map("49", "0", "00");
        let begin = |why: &str| format!("the mobile {why}; write + and the country code in front");
        for (written, map, why) in [
            ("0171 5550100", &map("", "", ""), begin("has no country code, and country under [map] in directory.toml names none")),
            ("0049 171 5550100", &map("", "", ""), begin("begins with 00, and international under [map] in directory.toml does not say that this is +")),
            ("171 5550100", &germany, begin("does not begin with 0, with which national numbers do (trunk under [map]), so that its country is in doubt")),
            ("0171 5550100", &map("49", "", ""), begin("does not begin as a mobile of its country does (trunk and international under [map])")),
            ("0049 171 5550100", &map("49", "0", ""), begin("does not begin as a mobile of its country does (trunk and international under [map])")),
            ("1 415 555 0100", &map("1", "", "011"), begin("begins with the digits of the country code, and may have it already")),
            ("011 15 2345 6789", &map("54", "0", "00"), begin("is in national form, of which Argentina's cannot be read without doubt")),
            ("0 15 11 96123 4567", &map("55", "0", "00"), begin("has more digits than a mobile of its country, and may have those of a carrier in front")),
            ("+44 07700 900123", &map("", "", ""), "the mobile has 0 after the country code, which is dialled only within the country; write it without".to_owned()),
            ("8 029 1234567", &map("375", "8", "810"), begin("does not begin as a mobile of its country does (trunk and international under [map])")),
            ("+49 0171 5550100", &germany, "the mobile has 0 after the country code, which is dialled only within the country; write it without".to_owned()),
            ("+39 (0)333 1234567", &germany, zero_in_parentheses()),
            ("(0)171 5550100", &germany, zero_in_parentheses()),
            ("+49 171 5550100 ext 12", &germany, "the mobile has an extension, which no mobile has; write the number alone, like +14155550100".to_owned()),
            ("tel:+49-171-5550100;ext=12", &germany, "the mobile has an extension, which no mobile has; write the number alone, like +14155550100".to_owned()),
            ("\u{ff14}\u{ff19}171", &germany, "the mobile has digits other than 0 to 9; write it like +14155550100".to_owned()),
            ("n/a", &germany, "the mobile contains \"n\"; write it like +14155550100".to_owned()),
            ("", &germany, "the mobile is empty; write it like +14155550100".to_owned()),
            ("01715550100, 01725550100", &germany, "the mobile contains \",\"; write it like +14155550100".to_owned()),
        ] {
            assert_eq!(e164(written, map), Err(why), "{written}");
        }
        for written in [
            "0171 5550100",
            "(0171) 555-0100",
            "+49 (0)171/5550100",
            "+49 ( 0 ) 171 5550100",
            "0049 (0) 171 5550100",
            "0049 171 5550100",
            "tel:+49-171-5550100",
            "TEL:0171 5550100",
        ] {
            assert_eq!(
                e164(written, &germany).as_deref(),
                Ok("+491715550100"),
                "{written}"
            );
        }
        let as_written = read("0171 555-0100", &germany, MobileFormat::National);
        assert_eq!(as_written.unwrap().as_str(), "0171 555-0100");
    }
}
