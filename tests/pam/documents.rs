//! What JSON an answer must hold to be one.

use crate::table::*;
use support::sandbox_test;
use support::server::answer;

/// With 200 each of these says nothing.
const NO_SUCCESS: &[&[u8]] = &[
    b"",
    b" ",
    b"garbage",
    b"success",
    b"<html>success</html>",
    b"{",
    b"null",
    b"true",
    b"0",
    b"-1e999",
    b"\"success\"",
    b"[]",
    br#"[{"status":"success"}]"#,
    br#"["status","success"]"#,
    br#"["success"]"#,
    b"{}",
    br#"{"message":"success"}"#,
    br#"{"Status":"success"}"#,
    br#"{"status ":"success"}"#,
    br#"{"":"success"}"#,
    br#"{"data":{"status":"success"}}"#,
    br#"{"error":{"status":"success"},"x":1}"#,
    br#"{"status":null}"#,
    br#"{"status":1}"#,
    br#"{"status":true}"#,
    br#"{"status":["success"]}"#,
    br#"{"status":{"status":"success"}}"#,
    br#"{"status":{}}"#,
    br#"{"status":}"#,
    br#"{"status":success}"#,
    br#"{"status":"success","status":"success"}"#,
    br#"{"status":"error","status":"success"}"#,
    br#"{"status":"success","status":null}"#,
    br#"{"status":"success","st\u0061tus":"error"}"#,
    br#"{"status":"success"}{"status":"success"}"#,
    b"{\"status\":\"success\"}\n{}",
    br#"{"status":"success"}x"#,
    br#"{"status":"success"}]"#,
    br#"{"status":"success",}"#,
    br#"{"status":"success""#,
    br#"{"status":"success"} // so"#,
    b"{'status':'success'}",
    br#"{status:"success"}"#,
    b"{\"status\":\"success\"}\0",
    b"\0{\"status\":\"success\"}",
    b"{\"status\":\"success\",\"x\":\"\0\"}",
    b"{\"status\":\"succ\ness\"}",
    b"\xef\xbb\xbf{\"status\":\"success\"}",
    b"\x0b{\"status\":\"success\"}",
    b"\xc2\xa0{\"status\":\"success\"}",
    b"{\"status\":\"success\",\"x\":\"\xff\"}",
    b"{\"status\":\"success\xc3\"}",
    b"{\"status\":\"success\",\"x\":\"\xed\xa0\x80\"}",
    b"\xff\xfe{\0\"\0s\0",
    b"{\"status\":\"\xc1\xb3uccess\"}",
    br#"{"status":"\ud800"}"#,
    br#"{"status":"success\udc00"}"#,
    br#"{"status":"succ\x65ss"}"#,
    b")]}'\n{\"status\":\"success\"}",
    b"data: {\"status\":\"success\"}",
];

/// None of these is exactly `success`.
const OTHER_WORDS: &[&str] = &[
    "Success",
    "SUCCESS",
    "success ",
    " success",
    "succes",
    "successs",
    "",
    "error",
    "ok",
    "true",
    "1",
    "null",
    "success\\u0000",
    "success\\n",
    "\\u0000success",
    "\\ud83d\\ude00",
    "ѕuccess",
];

#[sandbox_test]
fn documents_that_are_no_success() {
    let deep = |size: usize| format!("{}{}", "[".repeat(size), "]".repeat(size));
    let computed = [deep(1_000), deep(30_000), r#"{"a":"#.repeat(10_000)];
    let computed = computed.iter().map(String::as_bytes);
    let unusable = NO_SUCCESS.iter().copied().chain(computed);
    let mut rows: Vec<_> = unusable
        .map(|body| row(&named(body), answer("200 OK", "", body), outage(NO_OBJECT)))
        .collect();
    for status in OTHER_WORDS {
        let body = format!(r#"{{"status":"{status}"}}"#);
        rows.push(row(
            &body,
            answer("200 OK", "", body.as_bytes()),
            Ends::rejected(200),
        ));
    }
    let none = Ends::unavailable(
        "answer: HTTP 204: body is not a JSON object with exactly one \"status\"",
    )
    .http(204);
    rows.push(row(
        "204 with nothing",
        "HTTP/1.1 204 No Content\r\n\r\n",
        none,
    ));
    rows.push(row(
        "success in a 400",
        answer("400 X", "", br#"{"status":"success"}"#),
        Ends::rejected(400),
    ));
    check_answers(&rows);
}

fn named(body: &[u8]) -> String {
    body.escape_ascii().take(60).map(char::from).collect()
}

#[sandbox_test]
fn documents_that_are_a_success() {
    let deep = format!(
        r#"{{"x":{}{},"status":"success"}}"#,
        "[".repeat(1_000),
        "]".repeat(1_000)
    );
    let rows = [
        r#"{"status":"success"}"#,
        r#"{"status":"succ\u0065ss"}"#,
        r#"{"st\u0061tus":"\u0073\u0075ccess"}"#,
        " \r\n\t{ \"status\" : \"success\" }\r\n\t ",
        r#"{"status":"success","error":{"code":"X","detail":"d"}}"#,
        r#"{"message":null,"status":"success","data":{"status":"error"}}"#,
        r#"{"message":"a","message":"b","status":"success"}"#,
        r#"{"status":"success","x":1e999}"#,
        r#"{"status":"success","😀":"\ud83d\ude00"}"#,
        &deep,
    ]
    .map(|body| {
        row(
            &named(body.as_bytes()),
            answer("200 OK", "", body.as_bytes()),
            verified(),
        )
    });
    check_answers(&rows);
}
