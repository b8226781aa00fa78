//! Who is made up: users with their teams, models and agents, and what they ask.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use crate::types::{Caller, CallerKind};

/// Whose everything made up is.
pub(super) const TENANT: &str = "demo";

/// Somebody who asks: user, team, model, agent.
pub(super) type Person = (&'static str, &'static str, &'static str, &'static str);

/// The users.
pub(super) const PEOPLE: [Person; 12] = [
    ("ana", "support", "gpt-4o-mini", "helpdesk"),
    ("bo", "support", "gpt-4o-mini", "helpdesk"),
    ("carla", "support", "gpt-4o-mini", "helpdesk"),
    ("dmitri", "research", "claude-sonnet-4-5", "notebook"),
    ("esra", "research", "gpt-4o", "notebook"),
    ("farid", "research", "o4-mini", "notebook"),
    ("gwen", "sales", "gpt-4o", "crm"),
    ("hiro", "sales", "gpt-4o-mini", "crm"),
    ("ines", "platform", "claude-sonnet-4-5", "code-assistant"),
    ("jonas", "platform", "gpt-4.1", "code-assistant"),
    ("kofi", "platform", "gpt-4.1-mini", "ci"),
    ("lena", "finance", "gpt-4o", "reports"),
];

/// Those who attack.
pub(super) const ATTACKERS: [Person; 3] = [
    ("mallory", "support", "gpt-4o-mini", "helpdesk"),
    ("trudy", "research", "gpt-4o", "notebook"),
    ("contractor-7", "platform", "claude-sonnet-4-5", "code-assistant"),
];

/// What people ask.
pub(super) const QUESTIONS: [&str; 24] = [
    "Summarise this customer's last three tickets in two sentences.",
    "Write a polite answer to somebody whose parcel is a week late.",
    "What is the difference between a refund and a chargeback?",
    "Translate the following notice into Portuguese: the office is closed on Friday.",
    "Give me five titles for a newsletter about heat pumps.",
    "Explain the result of a t-test to somebody who never had statistics.",
    "Which assumptions does a linear regression make?",
    "Turn these notes into a paragraph: sample of 40, two groups, no difference at five per cent.",
    "Draft an agenda for a half-hour call with a new client.",
    "Rewrite this sentence so that it sounds less like advertising: our product is the very best.",
    "Why does this test fail only when run after another one?",
    "Write a function in Python that merges two sorted lists.",
    "What does the error `cannot borrow as mutable` mean in Rust?",
    "Write a commit message for a change that removes an unused dependency.",
    "How do I read the first ten lines of a large file in Go?",
    "Make a table of our quarters with revenue and costs as columns.",
    "What should stand in the notes of a balance sheet about leases?",
    "Suggest three questions for an interview about teamwork.",
    "How long can cooked rice be kept in the fridge?",
    "Explain photosynthesis to a ten-year-old.",
    "Find a friendlier way to say: your request was rejected.",
    "Plan a two-day workshop about writing documentation.",
    "What are good defaults for the timeouts of an HTTP client?",
    "Compare solar panels and wind turbines for a small farm.",
];

/// A person as records have them. Addresses are of the ranges kept for documentation.
pub(super) fn caller(person: Person, index: usize, session: &str, attacks: bool) -> Caller {
    let (user, team, _, agent) = person;
    let last = u8::try_from(index.saturating_add(10)).unwrap_or(250);
    let address = if attacks { Ipv4Addr::new(203, 0, 113, last) } else { Ipv4Addr::new(192, 0, 2, last) };
    Caller {
        address: Some(IpAddr::V4(address)),
        tenant: Some(TENANT.into()),
        team: Some(team.into()),
        key: Some(key(team)),
        user: Some(user.into()),
        session: Some(session.into()),
        agent: Some(agent.into()),
        kind: CallerKind::Key,
        ..Caller::default()
    }
}

/// The gateway key of a team.
pub(super) fn key(team: &str) -> Arc<str> {
    format!("demo-{team}").into()
}
