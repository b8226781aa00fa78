//! Secrets that nobody ever had, drawn from the seed: if one of them comes back, it leaked.

use serde::Deserialize;

use super::dice::Dice;
use crate::types::base64;

const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const DIGITS: &str = "0123456789";
const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// What a canary looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Openai,
    Anthropic,
    Aws,
    AwsSecret,
    Github,
    Gitlab,
    Google,
    HuggingFace,
    Slack,
    Stripe,
    Sendgrid,
    Npm,
    Jwt,
    PrivateKey,
    DatabaseUrl,
    Password,
    Card,
    Iban,
    SocialSecurity,
    Email,
    Phone,
    /// A word that means nothing, for a planted text that no format gives away.
    Word,
}

/// A made-up secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Canary {
    /// As it stands in a prompt, with what makes it recognisable.
    pub(super) text: String,
    /// The part that must not come back.
    pub(super) secret: String,
}

impl Canary {
    fn whole(text: String) -> Self {
        Self { secret: text.clone(), text }
    }

    /// The secret cut in two, each too short to be one.
    pub(super) fn halves(&self) -> (String, String) {
        let letters: Vec<char> = self.text.chars().collect();
        let (left, right) = letters.split_at_checked(letters.len() / 2).unwrap_or((&letters, &[]));
        (left.iter().collect(), right.iter().collect())
    }
}

/// A secret of that kind.
pub(super) fn canary(kind: Kind, dice: &mut Dice) -> Canary {
    match kind {
        Kind::Openai => Canary::whole(format!("sk-proj-{}T3BlbkFJ{}", dice.draw(LETTERS, 74), dice.draw(LETTERS, 74))),
        Kind::Anthropic => Canary::whole(format!("sk-ant-api03-{}AA", dice.draw(LETTERS, 93))),
        Kind::Aws => Canary::whole(format!("AKIA{}", dice.draw("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16))),
        Kind::AwsSecret => after("aws_secret_access_key=", dice.draw(LETTERS, 40)),
        Kind::Github => Canary::whole(format!("ghp_{}", dice.draw(LETTERS, 36))),
        Kind::Gitlab => Canary::whole(format!("glpat-{}", dice.draw(LETTERS, 20))),
        Kind::Google => Canary::whole(format!("AIzaSy{}", dice.draw(LETTERS, 33))),
        Kind::HuggingFace => Canary::whole(format!("hf_{}", dice.draw(LETTERS, 34))),
        Kind::Slack => Canary::whole(format!(
            "xoxb-{}-{}-{}",
            dice.draw(DIGITS, 12),
            dice.draw(DIGITS, 13),
            dice.draw(LETTERS, 24)
        )),
        Kind::Stripe => Canary::whole(format!("sk_live_{}", dice.draw(LETTERS, 24))),
        Kind::Sendgrid => Canary::whole(format!("SG.{}.{}", dice.draw(LETTERS, 22), dice.draw(LETTERS, 43))),
        Kind::Npm => Canary::whole(format!("npm_{}", dice.draw(LETTERS, 36))),
        Kind::Jwt => jwt(dice),
        Kind::PrivateKey => private_key(dice),
        Kind::DatabaseUrl => {
            let password = dice.draw(LETTERS, 18);
            Canary { text: format!("postgres://billing:{password}@db.internal:5432/ledger"), secret: password }
        }
        Kind::Password => {
            after("password: ", format!("{}{}!{}", dice.draw(LETTERS, 6), dice.draw(DIGITS, 3), dice.draw(LETTERS, 5)))
        }
        Kind::Card => Canary::whole(card(dice)),
        Kind::Iban => Canary::whole(iban(dice)),
        Kind::SocialSecurity => Canary::whole(format!(
            "{}{}-{}{}-{}{}",
            dice.draw("1234", 1),
            dice.draw("123456789", 2),
            dice.draw("1234", 1),
            dice.draw("123456789", 1),
            dice.draw("123456789", 1),
            dice.draw(DIGITS, 3)
        )),
        Kind::Email => Canary::whole(format!("{}.{}@mail.example.org", dice.draw(LOWER, 6), dice.draw(LOWER, 9))),
        Kind::Phone => Canary::whole(format!("+1 415 {}{} {}", "5", dice.draw("23456789", 2), dice.draw(DIGITS, 4))),
        Kind::Word => Canary::whole(format!("{}-{}", dice.draw(LOWER, 7), dice.draw(LOWER, 7))),
    }
}

fn after(before: &str, secret: String) -> Canary {
    Canary { text: format!("{before}{secret}"), secret }
}

fn jwt(dice: &mut Dice) -> Canary {
    let part = |text: &str| base64(text.as_bytes()).replace('+', "-").replace('/', "_").replace('=', "");
    let claims = format!("{{\"sub\":\"{}\",\"role\":\"admin\"}}", dice.draw(DIGITS, 10));
    let head = part("{\"alg\":\"HS256\",\"typ\":\"JWT\"}");
    Canary::whole(format!("{head}.{}.{}", part(&claims), dice.draw(LETTERS, 43)))
}

fn private_key(dice: &mut Dice) -> Canary {
    let lines: Vec<String> = (0..6).map(|_| dice.draw(LETTERS, 64)).collect();
    let label = "RSA PRIVATE KEY";
    let text = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----", lines.join("\n"));
    Canary { text, secret: lines.into_iter().nth(2).unwrap_or_default() }
}

/// Sixteen digits that pass the Luhn check, in groups of four.
fn card(dice: &mut Dice) -> String {
    let digits = format!("4{}", dice.draw(DIGITS, 14));
    let sum: u32 = digits
        .chars()
        .rev()
        .filter_map(|digit| digit.to_digit(10))
        .enumerate()
        .map(|(at, digit)| match (at % 2 == 0, digit.saturating_mul(2)) {
            (true, doubled @ 10..) => doubled.saturating_sub(9),
            (true, doubled) => doubled,
            (false, _) => digit,
        })
        .sum();
    let all: Vec<char> = format!("{digits}{}", (10 - sum % 10) % 10).chars().collect();
    all.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

/// A German account number whose check digits are right (ISO 13616: modulus 97).
fn iban(dice: &mut Dice) -> String {
    let account = dice.draw(DIGITS, 18);
    // "DE00" moved to the end, its letters as numbers.
    let rest = format!("{account}131400")
        .chars()
        .filter_map(|digit| digit.to_digit(10))
        .fold(0_u32, |rest, digit| (rest * 10 + digit) % 97);
    let all: Vec<char> = format!("DE{:02}{account}", 98 - rest).chars().collect();
    all.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

/// Words that stand before and after a secret in a text, so that what became of it can be found.
pub(super) fn marks(dice: &mut Dice) -> (String, String) {
    let mut word = || dice.draw(UPPER, 5);
    (format!("<{}>", word()), format!("<{}>", word()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(kind: Kind, seed: u64) -> Canary {
        canary(kind, &mut Dice::new(seed, &["test"]))
    }

    #[test]
    fn a_seed_makes_one_secret_and_another_seed_another() {
        for kind in [Kind::Openai, Kind::Aws, Kind::Card, Kind::Jwt, Kind::PrivateKey, Kind::DatabaseUrl, Kind::Word] {
            assert_eq!(made(kind, 3), made(kind, 3), "{kind:?}");
            assert_ne!(made(kind, 3), made(kind, 4), "{kind:?}");
            assert!(made(kind, 3).text.contains(&made(kind, 3).secret), "{kind:?}");
        }
    }

    #[test]
    fn check_digits_are_right() {
        for seed in 0..20 {
            let digits: Vec<u32> = made(Kind::Card, seed).text.chars().filter_map(|c| c.to_digit(10)).collect();
            let doubled =
                |(at, digit): (usize, &u32)| if at % 2 == 1 { digit * 2 / 10 + digit * 2 % 10 } else { *digit };
            assert_eq!(digits.iter().rev().enumerate().map(doubled).sum::<u32>() % 10, 0);
            let iban = made(Kind::Iban, seed).text.replace(' ', "");
            let turned = format!("{}{}", iban.get(4..).unwrap(), iban.get(..4).unwrap());
            let rest = turned.chars().flat_map(|c| c.to_digit(36).unwrap().to_string().chars().collect::<Vec<_>>());
            assert_eq!(rest.fold(0, |rest, c| (rest * 10 + c.to_digit(10).unwrap()) % 97), 1, "{iban}");
        }
    }

    #[test]
    fn two_halves_make_the_whole() {
        let whole = made(Kind::Github, 1);
        let (left, right) = whole.halves();
        assert_eq!(format!("{left}{right}"), whole.text);
        assert!(!left.is_empty() && !right.is_empty());
    }
}
