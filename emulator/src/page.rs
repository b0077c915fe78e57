//! The pages that people see: plain HTML, everything from outside escaped.

use std::fmt::Write as _;

use hyper::StatusCode;
use url::Url;

use crate::answer::Answer;

/// The five characters that mean something in HTML.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn document(status: StatusCode, title: &str, body: &str) -> Answer {
    let title = escape(title);
    Answer::html(
        status,
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{title}</title></head>\n\
             <body>\n<h1>{title}</h1>\n{body}</body>\n</html>\n"
        ),
    )
}

fn hidden(fields: &[(String, String)]) -> String {
    fields.iter().fold(String::new(), |mut out, (name, value)| {
        let _ = writeln!(out, "<input type=\"hidden\" name=\"{}\" value=\"{}\">", escape(name), escape(value));
        out
    })
}

fn buttons(people: &[(String, String)]) -> String {
    people.iter().fold(String::new(), |mut out, (username, name)| {
        let (username, name) = (escape(username), escape(name));
        let _ = writeln!(out, "<p><button type=\"submit\" name=\"user\" value=\"{username}\">{name} ({username})</button></p>");
        out
    })
}

/// Who signs in, and what the app asks of them. `request` comes back with the answer.
pub(crate) fn sign_in(app: &str, scope: &str, request: &[(String, String)], people: &[(String, String)]) -> Answer {
    let wants: String = scope.split_whitespace().map(|one| format!("<li>{}</li>\n", escape(one))).collect();
    let body = format!(
        "<p>The emulator asks for no password. Choose who signs in to <b>{}</b>, which wants:</p>\n<ul>\n{wants}</ul>\n\
         <form method=\"post\">\n{}<p><label><input type=\"checkbox\" name=\"consent\" value=\"yes\" checked> consent to this</label>\
         </p>\n\
         {}<p><button type=\"submit\" name=\"cancel\" value=\"yes\">Cancel</button></p>\n</form>\n",
        escape(app),
        hidden(request),
        buttons(people)
    );
    document(StatusCode::OK, "Sign in", &body)
}

/// Where a code of a device is entered.
pub(crate) fn device(code: &str, people: &[(String, String)]) -> Answer {
    let body = format!(
        "<form method=\"post\">\n<p><label>Code <input name=\"user_code\" value=\"{}\" required></label></p>\n{}\
         <p><button type=\"submit\" name=\"action\" value=\"deny\">Deny</button></p>\n</form>\n",
        escape(code),
        buttons(people)
    );
    document(StatusCode::OK, "Approve a device", &body)
}

/// Back to an app, with the `state` that it gave.
pub(crate) fn back(to: &str, state: Option<&str>) -> Answer {
    let Ok(mut url) = Url::parse(to) else { return problem("The address to go back to is no URL.") };
    if let Some(state) = state {
        url.query_pairs_mut().append_pair("state", state);
    }
    Answer::redirect(url.as_str())
}

/// `response_mode=form_post`: the answer travels as a form that submits itself.
pub(crate) fn form_post(to: &str, fields: &[(String, String)]) -> Answer {
    let body = format!(
        "<form method=\"post\" action=\"{}\">\n{}<button type=\"submit\">Continue</button>\n</form>\n\
         <script>document.forms[0].submit()</script>\n",
        escape(to),
        hidden(fields)
    );
    document(StatusCode::OK, "Continue", &body).no_store()
}

pub(crate) fn note(status: StatusCode, title: &str, text: &str) -> Answer {
    document(status, title, &format!("<p>{}</p>\n", escape(text)))
}

/// An error that must not be redirected anywhere.
pub(crate) fn problem(text: &str) -> Answer {
    note(StatusCode::BAD_REQUEST, "This sign-in cannot go on", text)
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn nothing_from_outside_is_markup() {
        assert_eq!(escape("<a href=\"x\">'&"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
    }
}
