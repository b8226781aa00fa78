//! What a rule may report instead of patterns of its own: a built-in detector.
//!
//! | `detector` | reports |
//! |---|---|
//! | `sql`, `script`, `path`, `command`, `template`, `code`, `query`, `server` | a payload, as `confidence` says |
//! | `classifier` | what the trained classifier thinks, with points of its own |
//! | `conversation` | what it thinks of the turns of a conversation together |
//! | `hidden` | text hidden in characters that show as nothing |
//! | `disguise` | an attack that only shows in another reading of the text |
//! | `learned` | words learned from a missed attack, weighed as `weights` says |
//! | `system_prompt` | an answer that repeats the prompt it was made under; answers only |
//! | `repetition`, `probing`, `burst`, `denied_share` | how a caller behaves, over many requests |

use super::history::Behaviour;
use super::web;

/// A built-in detector as a rule names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// A payload for a web server, database or shell.
    Web(web::Probe),
    /// The trained classifier.
    Classifier,
    /// The trained classifier, on a conversation.
    Conversation,
    /// Hidden text.
    Hidden,
    /// An attack in disguise.
    Disguise,
    /// Telling words, weighed.
    Learned,
    /// A prompt repeated in an answer.
    SystemPrompt,
    /// How a caller behaves.
    Behaviour(Behaviour),
}

impl Probe {
    /// From the words of a rule file.
    pub(super) fn parse(detector: &str, confidence: Option<&str>) -> Result<Self, String> {
        let whole = match detector {
            "repetition" => Self::Behaviour(Behaviour::Repetition),
            "probing" => Self::Behaviour(Behaviour::Probing),
            "burst" => Self::Behaviour(Behaviour::Burst),
            "denied_share" => Self::Behaviour(Behaviour::DeniedShare),
            "classifier" => Self::Classifier,
            "conversation" => Self::Conversation,
            "hidden" => Self::Hidden,
            "disguise" => Self::Disguise,
            "learned" => Self::Learned,
            "system_prompt" => Self::SystemPrompt,
            _ => {
                let confidence = confidence.ok_or("needs `confidence` beside it")?;
                return web::Probe::parse(detector, confidence).map(Self::Web);
            }
        };
        match confidence {
            None => Ok(whole),
            Some(_) => Err(format!("`{detector}` takes no `confidence`")),
        }
    }

    /// Whether it looks at answers; all others look at prompts.
    pub(super) fn is_for_answers(self) -> bool {
        self == Self::SystemPrompt
    }
}
