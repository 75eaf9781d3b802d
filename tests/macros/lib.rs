//! `#[sandbox_test]`, re-exported by `support`.

use proc_macro::{Delimiter, Group, TokenStream, TokenTree};

/// What every such test begins with.
const CHECK: &str = "if ::support::sandbox_unavailable() { return; }";

/// A `#[test]` for cases that pam-client runs: it is skipped, by name, where this machine grants no sandbox.
#[proc_macro_attribute]
pub fn sandbox_test(arguments: TokenStream, function: TokenStream) -> TokenStream {
    let mut tokens: Vec<_> = function.into_iter().collect();
    match tokens.pop() {
        Some(TokenTree::Group(body))
            if body.delimiter() == Delimiter::Brace && arguments.is_empty() =>
        {
            tokens.push(TokenTree::Group(with_check(&body)));
            let test = parsed("#[::core::prelude::v1::test]");
            test.into_iter().chain(tokens).collect()
        }
        _ => parsed("compile_error!(\"#[sandbox_test] is for functions, without arguments\");"),
    }
}

fn with_check(body: &Group) -> Group {
    let statements = parsed(CHECK).into_iter().chain(body.stream());
    let mut checked = Group::new(Delimiter::Brace, statements.collect());
    // Errors in the body are shown where it is written.
    checked.set_span(body.span());
    checked
}

fn parsed(code: &str) -> TokenStream {
    code.parse().expect("Rust")
}
