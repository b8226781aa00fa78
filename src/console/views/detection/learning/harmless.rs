//! Harmless texts of this site: nothing that is learned may hit them.

use maud::{Markup, html};

use super::ways;
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts::form::Act;
use crate::console::parts::table::List;
use crate::console::parts::{self};
use crate::console::query::part;
use crate::console::visit::Visit;
use crate::control::api::learn::harmless::HarmlessShown;
use crate::control::api::words::Page as Listed;
use crate::types::visible;

/// The list.
pub(in crate::console::views::detection) async fn page(visit: Visit) -> Answer {
    let asked = visit.query().only(&["after"]).with_limit();
    let list: Listed<HarmlessShown> = visit.get(&asked.on("/api/v1/learn/harmless")).await?;
    let body = html! {
        (ways("harmless"))
        p { "Nothing that is learned may hit these texts. False alarms that somebody confirmed are among them." }
        @if visit.may_decide() { (add(&visit)) }
        (List {
            part: "harmless",
            caption: "Harmless texts",
            heads: &["Text", "Added by", "When", ""],
            rows: list.items.iter().map(|one| row(one, &removal(&visit, one))).collect(),
            next: list.next.clone().map(|next| ("after", next)),
            none: ("There are no harmless texts of this site.", "Those that come with the gateway are always looked at."),
        }
        .show(&visit))
    };
    Ok(Page::new("/learning", "Harmless texts", body))
}

fn row(one: &HarmlessShown, removal: &Markup) -> Markup {
    html! { tr data-id=(one.id) {
        td { @for line in one.text.lines().take(20) { p { bdi { (visible(line, 600)) } } } }
        td { (parts::name(&one.by)) }
        td { (parts::time::ago(one.at)) }
        td { (removal) }
    } }
}

fn removal(visit: &Visit, one: &HarmlessShown) -> Markup {
    if !visit.may_decide() {
        return html! {};
    }
    let path = format!("/api/v1/learn/harmless/{}", part(&one.id));
    Act::delete(&path).sure("Remove this text? What is learned may hit it then.").button(visit, "Remove", &[])
}

fn add(visit: &Visit) -> Markup {
    let fields = html! {
        label { "A harmless text" textarea name="text" required maxlength="60000" rows="3" {} }
        button.main type="submit" { "Add" }
    };
    Act::post("/api/v1/learn/harmless").form(visit, "stack panel", &fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_others_does_nothing() {
        let one = HarmlessShown { id: "txt_1".into(), text: "<b>a</b>\n\u{202e}z".into(), by: "<i>".into(), at: 0 };
        let shown = row(&one, &html! {}).into_string();
        assert!(!shown.contains("<b>") && !shown.contains("<i>") && !shown.contains('\u{202e}'), "{shown}");
    }
}
