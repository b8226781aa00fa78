//! What the answers and bodies of learning's routes share.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::super::error::ApiError;

/// A thing as it is stored, in JSON, without some of its fields.
macro_rules! shown {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = Object)]
        pub struct $name(pub Value);

        impl $name {
            /// The JSON of it, without the fields named.
            ///
            /// # Errors
            /// 500 when it has none.
            pub fn without(thing: &impl Serialize, hidden: &[&str]) -> Result<Self, ApiError> {
                let mut shown = serde_json::to_value(thing).map_err(|error| ApiError::internal(&error))?;
                if let Some(fields) = shown.as_object_mut() {
                    hidden.iter().for_each(|name| {
                        fields.remove(*name);
                    });
                }
                Ok(Self(shown))
            }
        }
    };
}

shown!(
    /// A report: `id`, `kind` (`missed`, `false_alarm`), `family`, `role`, `request`, `reporters`, `state`, `rules` (that found
    /// something when it was reported), `proposal`, `ruling`, `made`, `updated`; `text` and `note` where one is asked for.
    ReportShown
);
shown!(
    /// A proposal: `id`, `stem`, `report`, `title`, `state`, `phase`, `ids`, `hash`, `reasons`, `said`, `authors`, `share`,
    /// `failures`, `problem`, `made`, `updated`, `since`; `figures` where one is asked for.
    ProposalShown
);
shown!(
    /// A variation of a reported text: `kind`, `text`, `held_back`.
    VariationShown
);
shown!(
    /// What a rule found so far: `seen`, `hits`, `alone` (nothing else found anything), since the proposal came where it stands.
    HitsShown
);
