//! Traffic that goes on: a few requests a second to the gateway's own listener, and an attack now and then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::Semaphore;

use super::dice::Dice;
use super::people::{ATTACKERS, PEOPLE, Person, QUESTIONS, TENANT, key};
use crate::app::{Client, Insides};
use crate::config::issued::IssuedKey;
use crate::redteam;

/// Between two requests.
const PACE: Duration = Duration::from_millis(450);
/// Requests in flight; further ones are left out.
const AT_ONCE: usize = 4;
/// One request of so many is an attack.
const ATTACK: u64 = 30;
/// Keys are lent for an hour: they are lent anew before.
const ANEW: u64 = 3000;

/// Goes on until the gateway ends.
pub(super) async fn go_on(insides: &Insides, seed: u64) -> Result<(), String> {
    let mut dice = Dice::new(seed ^ 0x6c69_7665);
    let pack = redteam::read(&redteam::builtin()).unwrap_or_default();
    let attacks: Vec<String> = redteam::plan(&pack, seed, &[], true)
        .iter()
        .filter(|trial| !trial.is_harmless())
        .map(redteam::Trial::text)
        .collect();
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut clients: BTreeMap<&str, Client> = BTreeMap::new();
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    for number in 0_u64.. {
        pace.tick().await;
        if number.checked_rem(ANEW) == Some(0) {
            clients.clear();
        }
        let is_attack = dice.below(ATTACK) == 0;
        let people: &[Person] = if is_attack { &ATTACKERS } else { &PEOPLE };
        let text = if is_attack { dice.one(&attacks).map(String::as_str) } else { dice.one(&QUESTIONS).copied() };
        let (Some(person), Some(text)) = (dice.one(people).copied(), text) else { continue };
        let client = match clients.get(person.0) {
            Some(client) => client.clone(),
            None => {
                let client = insides.client(lent(person))?;
                clients.insert(person.0, client.clone());
                client
            }
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
        let (insides, path, body) = (insides.clone(), path(person), body(person, text, dice.below(3) > 0));
        drop(tokio::spawn(async move {
            // What it was refused for is in the records.
            if let Err(error) = insides.ask(&client, path, body).await {
                tracing::debug!(%error, "a made-up request was not answered");
            }
            drop(permit);
        }));
    }
    Ok(())
}

fn lent((user, team, _, agent): Person) -> IssuedKey {
    IssuedKey {
        family: key(team),
        name: key(team),
        tenant: Some(TENANT.into()),
        team: Some(team.into()),
        user: Some(user.into()),
        agent: Some(agent.into()),
        ..IssuedKey::default()
    }
}

fn path((_, _, model, _): Person) -> &'static str {
    if model.starts_with("claude") { "/v1/messages" } else { "/v1/chat/completions" }
}

fn body((_, _, model, _): Person, text: &str, streamed: bool) -> String {
    let messages = json!([{ "role": "user", "content": text }]);
    json!({ "model": model, "max_tokens": 400, "stream": streamed, "messages": messages }).to_string()
}
