//! What forms of the console do: each is a call of the admin API, with its checks, its permissions and its audit.
//!
//! A form says in fields that begin with `_` what it calls (`_method`, `_path`), where to go afterwards (`_back`), and proves
//! that a page of ours made it (`_csrf`). The other fields become the JSON body by their names: `a.b` is `b` within `a`,
//! `n:number`, `n:bool` and `n:json` are no texts, `n[]` is a list, one entry for each field; empty ones are left out unless
//! the name ends with `!`.

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq as _;

use super::Console;
use super::api::Sender;
use super::layout;
use super::parts::secret;
use super::trouble::Trouble;
use super::visit;

/// Bytes of a form.
const MOST: usize = 2 << 20;
/// Fields of a form: a page of a list may be marked whole.
const MOST_FIELDS: usize = 1200;

/// A form as it was sent.
pub(super) struct Form {
    fields: Vec<(String, String)>,
}

impl Form {
    /// Reads a form.
    pub(super) async fn read(request: Request) -> Result<Self, Trouble> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("application/x-www-form-urlencoded") {
            return Err(Trouble::bad("This is no form of the console."));
        }
        let body = to_bytes(request.into_body(), MOST).await.map_err(|_| Trouble::bad("The form is too long."))?;
        // Browsers end the lines of a text with two characters, whatever was typed.
        let fields: Vec<_> = form_urlencoded::parse(&body)
            .take(MOST_FIELDS + 1)
            .map(|(name, value)| (name.into_owned(), value.replace("\r\n", "\n")))
            .collect();
        if fields.len() > MOST_FIELDS {
            return Err(Trouble::bad("The form has too many fields."));
        }
        Ok(Self { fields })
    }

    /// The first field of that name.
    pub(super) fn get(&self, name: &str) -> &str {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// Whether a page of the session with this token made it.
    pub(super) fn check(&self, csrf: &str) -> Result<(), Trouble> {
        if bool::from(self.get("_csrf").as_bytes().ct_eq(csrf.as_bytes())) {
            return Ok(());
        }
        let message = "This form is not from a page of your session: go back, load the page again, and try again.";
        Err(Trouble::forbidden(message))
    }

    /// Where to go afterwards: a page of the console.
    pub(super) fn back(&self) -> String {
        own(self.get("_back")).unwrap_or_else(|| "/console".to_owned())
    }

    /// The body that the fields make; `None` where there are none.
    fn body(&self) -> Result<Option<Value>, Trouble> {
        let mut body = Map::new();
        for (name, value) in self.fields.iter().filter(|(name, _)| !name.starts_with('_')) {
            let (name, keeps_empty) = name.strip_suffix('!').map_or((name.as_str(), false), |name| (name, true));
            if value.is_empty() && !keeps_empty {
                continue;
            }
            put(&mut body, name, value)?;
        }
        Ok((!body.is_empty() || !self.get("_body").is_empty()).then_some(Value::Object(body)))
    }
}

/// A path of the console, and nothing that a browser could take for another host.
pub(super) fn own(path: &str) -> Option<String> {
    let rest = path.strip_prefix("/console")?;
    let is_ours = rest.is_empty() || rest.starts_with(['/', '?']);
    (is_ours && !path.contains(['\\', '\r', '\n'])).then(|| path.to_owned())
}

fn put(body: &mut Map<String, Value>, name: &str, text: &str) -> Result<(), Trouble> {
    let (name, kind) = name.split_once(':').unwrap_or((name, "text"));
    let wrong = || Trouble::bad(&format!("The field {name} cannot be read."));
    let value = match kind {
        // Browsers end the lines of what is typed in their own way.
        "text" => json!(text.replace("\r\n", "\n")),
        "number" => text.trim().parse::<serde_json::Number>().map(Value::Number).map_err(|_| wrong())?,
        "bool" => json!(matches!(text, "on" | "true" | "yes")),
        "json" => serde_json::from_str(text).map_err(|_| wrong())?,
        _ => return Err(wrong()),
    };
    let mut at = body;
    let mut rest = name;
    while let Some((outer, inner)) = rest.split_once('.') {
        let slot = at.entry(outer).or_insert_with(|| json!({}));
        at = slot.as_object_mut().ok_or_else(wrong)?;
        rest = inner;
    }
    match rest.strip_suffix("[]") {
        Some(list) => at.entry(list).or_insert_with(|| json!([])).as_array_mut().ok_or_else(wrong)?.push(value),
        None => drop(at.insert(rest.to_owned(), value)),
    }
    Ok(())
}

/// Does what a form asks.
pub(super) async fn submit(State(console): State<Console>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let sender = Sender::of(&head);
    let form = match Form::read(Request::from_parts(head, body)).await {
        Ok(form) => form,
        Err(trouble) => return failed(&trouble, "/console"),
    };
    match done(&console, &sender, &form).await {
        Ok(answer) => answer,
        Err(trouble) => failed(&trouble, &form.back()),
    }
}

async fn done(console: &Console, sender: &Sender, form: &Form) -> Result<Response, Trouble> {
    let me = visit::me(console, sender).await?;
    let csrf = me.csrf.as_deref().unwrap_or_default();
    form.check(csrf)?;
    let path = form.get("_path");
    let method = match form.get("_method") {
        "" | "POST" => Method::POST,
        "PATCH" => Method::PATCH,
        "PUT" => Method::PUT,
        "DELETE" => Method::DELETE,
        _ => return Err(Trouble::bad("A form does not do this.")),
    };
    if !path.starts_with("/api/v1/") || path.contains("..") {
        return Err(Trouble::bad("A form does not do this."));
    }
    let body = form.body()?;
    let told = console.0.api.send(sender, method, path, body.as_ref(), Some(csrf)).await?;
    let said = told.json()?;
    if let Some(unchanged) = unchanged(&said) {
        return Err(Trouble { status: StatusCode::CONFLICT, code: "unchanged".to_owned(), message: unchanged });
    }
    // What is shown once, such as a fresh key, is shown now.
    let answer = match form.get("_once") {
        "" => Redirect::to(&form.back()).into_response(),
        what => layout::outside(StatusCode::OK, what, &secret::once(what, &said, &form.back())),
    };
    Ok(visit::with_cookies(answer, &told))
}

/// What a change of many things could not change, and why.
fn unchanged(said: &Value) -> Option<String> {
    let items = said.get("items").and_then(Value::as_array)?;
    let left: Vec<&Value> = items.iter().filter(|one| one.get("changed") == Some(&Value::Bool(false))).collect();
    let text = |one: &Value, name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let told: Vec<String> =
        left.iter().take(5).map(|one| format!("{}: {}", text(one, "id"), text(one, "message"))).collect();
    (!left.is_empty()).then(|| format!("{} of {} were not changed. {}", left.len(), items.len(), told.join(" ")))
}

fn failed(trouble: &Trouble, back: &str) -> Response {
    if trouble.is_nobody() {
        return Redirect::to("/console/login").into_response();
    }
    layout::outside(trouble.status, "That did not work", &layout::told_and_back(trouble, back))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(fields: &[(&str, &str)]) -> Form {
        Form { fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect() }
    }

    #[test]
    fn fields_become_the_body_by_their_names() {
        let form = form(&[
            ("_csrf", "x"),
            ("state", "closed"),
            ("close.reason", "resolved"),
            ("close.note!", ""),
            ("assignee", ""),
            ("ids[]", "a"),
            ("ids[]", "b"),
            ("seconds:number", "60"),
            ("sure:bool", "on"),
            ("lines", "a\r\nb"),
        ]);
        let body = json!({
            "state": "closed", "close": { "reason": "resolved", "note": "" }, "ids": ["a", "b"], "seconds": 60, "sure": true,
            "lines": "a\nb",
        });
        assert_eq!(form.body().unwrap(), Some(body));
        assert_eq!(Form { fields: vec![("_path".into(), "/x".into())] }.body().unwrap(), None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(form(&[("n:number", "x")]).body().is_err());
        assert!(form(&[("a", "1"), ("a.b", "2")]).body().is_err());
        assert!(form(&[("a:what", "1")]).body().is_err());
    }

    #[test]
    fn nobody_is_led_away_from_the_console() {
        for path in
            ["//evil.example", "https://evil.example", "/consolex", "/\\evil", "/console\\x", "javascript:1", ""]
        {
            assert_eq!(own(path), None, "{path}");
        }
        assert_eq!(own("/console/alerts?x=//y").as_deref(), Some("/console/alerts?x=//y"));
    }
}
