//! What the answers of learning's routes hold.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::super::error::ApiError;
use super::super::shown::shown;

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
    /// What a rule found so far: `hits`, `alone` (nothing else found anything), `decided` (it decided), `callers` (different ones of
    /// these, 16 at most), since the proposal came where it stands.
    HitsShown
);
