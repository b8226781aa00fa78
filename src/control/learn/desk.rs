//! What people say: this was an attack and nobody stopped it, that was harmless and was stopped; yes to a proposal, or no.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::print;
use crate::config::Handle;
use crate::control::soc::approvals::{RuleError, Who};
use crate::control::soc::feed::Feed;
use crate::detect;
use crate::store::learn::{HarmlessText, ReportBounds};
use crate::store::{StoreError, now};
use crate::telemetry::Metrics;
use crate::types::learn::{
    LEARNED, LearnPhase, Proposal, ProposalState, Report, ReportKind, ReportState, Reporter, Said,
};
use crate::types::{Decision, Family, Role, RuleId, SpanIndex, hex};

/// How much may be reported.
#[derive(Debug, Clone, Copy)]
pub struct DeskOptions {
    /// Reports of one account, proposals that wait.
    pub bounds: ReportBounds,
    /// Bytes of a text or a rule file.
    pub max_text: usize,
    /// Harmless texts that people added.
    pub max_harmless: u64,
    /// The share of callers that an approved proposal holds for first.
    pub canary: f32,
}

/// What somebody reports.
#[derive(Debug, Clone)]
pub struct NewReport {
    /// What is wrong.
    pub kind: ReportKind,
    /// The text.
    pub text: String,
    /// What kind of attack it is.
    pub family: Option<Family>,
    /// Whose text it was.
    pub role: Role,
    /// The request it was in, and whose that is.
    pub request: Option<(Arc<str>, Option<Arc<str>>)>,
    /// What there is to say about it.
    pub note: Arc<str>,
}

/// What somebody decides about a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Out of the shadow: it may decide, for some callers first.
    Approve,
    /// It decides for all.
    Promote,
    /// It is never to decide.
    Reject,
    /// It is not to decide any more.
    RollBack,
    /// It is an attack, although it reads harmless: it is tried once more.
    Insist,
}

impl Verb {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Promote => "promote",
            Self::Reject => "reject",
            Self::RollBack => "roll_back",
            Self::Insist => "insist",
        }
    }
}

/// Takes reports and decisions. Clones are the same.
#[derive(Clone)]
pub struct LearnDesk {
    pub(super) feed: Feed,
    pub(super) config: Arc<Handle>,
    metrics: Metrics,
    pub(super) options: DeskOptions,
}

pub(super) fn refused<T>(why: impl Into<String>) -> Result<T, RuleError> {
    Err(RuleError::Refused(why.into()))
}

/// The stem of the ids of rules that come of what has this id.
fn stem(id: &str) -> Arc<str> {
    let digest = hex(&Sha256::digest(id.as_bytes()));
    format!("{LEARNED}{}", digest.get(..8).unwrap_or_default().to_uppercase()).into()
}

/// A proposal that nothing was done for yet.
pub(super) fn fresh(report: Option<&Report>, title: Arc<str>, authors: Vec<Arc<str>>, at: i64) -> Proposal {
    let id: Arc<str> = format!("prp_{}", uuid::Uuid::now_v7().simple()).into();
    Proposal {
        stem: stem(&id),
        id,
        report: report.map(|report| Arc::clone(&report.id)),
        title,
        state: ProposalState::Working,
        phase: LearnPhase::Vary,
        variations: Vec::new(),
        rules: String::new(),
        ids: Vec::new(),
        hash: "".into(),
        figures: Vec::new(),
        reasons: Vec::new(),
        said: Vec::new(),
        authors,
        insisted: false,
        share: 0.0,
        failures: 0,
        problem: None,
        made: at,
        updated: at,
        since: at,
    }
}

/// What is approved of a rule file.
pub(super) fn hash(rules: &str) -> Arc<str> {
    hex(&Sha256::digest(rules.as_bytes())).into()
}

impl LearnDesk {
    /// One for this gateway.
    pub fn new(feed: Feed, config: Arc<Handle>, metrics: Metrics, options: DeskOptions) -> Self {
        Self { feed, config, metrics, options }
    }

    /// What the rules in force make of a text: the decision, and the rules that found something.
    fn judged(&self, role: Role, text: &str) -> (Decision, Vec<RuleId>) {
        let snapshot = self.config.load_full();
        let (rules, inspect) = (&snapshot.rules, &snapshot.settings.inspect);
        let mut findings = Vec::new();
        rules.scan(SpanIndex(0), role, text, &mut findings);
        let mut found: Vec<RuleId> = findings.iter().map(|finding| finding.rule.clone()).collect();
        found.sort_unstable();
        found.dedup();
        rules.on_trial(&mut findings, || 1.0);
        (detect::judge(findings, &inspect.thresholds(inspect.security), rules.hash()).decision, found)
    }

    /// Takes a report. Of a missed attack a proposal is begun; a false alarm waits for somebody else to confirm it. Says whether
    /// it is new: the same text again is the same report.
    ///
    /// # Errors
    /// `Invalid` for a text that is none; `Refused` when nothing is wrong with it as things are, or the account reported too much.
    pub async fn report(&self, new: NewReport, who: &Who) -> Result<(Report, bool), RuleError> {
        if new.text.trim().is_empty() {
            return Err(RuleError::Invalid("there is no text to learn from".to_owned()));
        }
        if new.text.len() > self.options.max_text {
            return Err(RuleError::Invalid(format!("the text may have {} bytes at most", self.options.max_text)));
        }
        let (text, role, desk) = (new.text.clone(), new.role, self.clone());
        let judged = tokio::task::spawn_blocking(move || desk.judged(role, &text)).await;
        let (decision, rules) = judged.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        match new.kind {
            ReportKind::Missed if decision == Decision::Block => {
                let told: Vec<&str> = rules.iter().map(|rule| &*rule.0).collect();
                return refused(format!("the rules block this text already: {}", told.join(", ")));
            }
            ReportKind::FalseAlarm if rules.is_empty() => return refused("no rule finds anything in this text"),
            ReportKind::Missed | ReportKind::FalseAlarm => {}
        }
        let at = now();
        let (request, user) = new.request.map_or((None, None), |(request, user)| (Some(request), user));
        let mut report = Report {
            id: format!("rpt_{}", uuid::Uuid::now_v7().simple()).into(),
            kind: new.kind,
            print: print(&new.text),
            text: new.text,
            family: new.family,
            role: new.role,
            request,
            user,
            note: new.note,
            reporters: vec![Reporter { account: Arc::clone(&who.account), name: Arc::clone(&who.name), at }],
            state: ReportState::Open,
            rules,
            proposal: None,
            ruling: None,
            made: at,
            updated: at,
        };
        let proposal = (new.kind == ReportKind::Missed).then(|| {
            let family = report.family.map_or("attack", Family::name).replace('_', " ");
            fresh(Some(&report), format!("Missed {family}").into(), vec![Arc::clone(&who.account)], at)
        });
        if let Some(proposal) = &proposal {
            (report.state, report.proposal) = (ReportState::Learning, Some(Arc::clone(&proposal.id)));
        }
        let database = self.feed.database();
        match database.report(&report, proposal.as_ref(), self.options.bounds).await {
            Ok(((report, is_new), entries)) => {
                self.feed.publish(entries).await;
                if is_new {
                    self.metrics.learn().reported(report.kind);
                }
                Ok((report, is_new))
            }
            Err(StoreError::Full(why)) => refused(why),
            Err(error) => Err(error.into()),
        }
    }

    /// Somebody decides about a proposal, having seen its rules with this hash.
    ///
    /// # Errors
    /// `Refused`: nobody lets something decide that they reported or brought, programs decide nothing, and each step has its
    /// place.
    pub async fn rule(
        &self,
        id: &str,
        verb: Verb,
        seen: &str,
        who: &Who,
        why: Arc<str>,
    ) -> Result<Proposal, RuleError> {
        if !who.is_person {
            return refused("a person decides this, signed in; an API token cannot");
        }
        let (account, name, canary, at) = (Arc::clone(&who.account), Arc::clone(&who.name), self.options.canary, now());
        let seen = seen.to_owned();
        let change = move |one: &mut Proposal| {
            let conflict = |why: String| Err(StoreError::Conflict(why));
            let lets = matches!(verb, Verb::Approve | Verb::Promote | Verb::Insist);
            if lets && one.authors.contains(&account) {
                return conflict("nobody approves what they reported or brought".to_owned());
            }
            if lets && verb != Verb::Insist && *one.hash != *seen {
                return conflict("these are not the rules that were seen".to_owned());
            }
            let to = match (verb, one.state) {
                (Verb::Approve, ProposalState::Shadow) if canary < 1.0 => ProposalState::Canary,
                (Verb::Approve, ProposalState::Shadow) | (Verb::Promote, ProposalState::Canary) => ProposalState::Live,
                (Verb::Reject, ProposalState::Shadow) => ProposalState::Rejected,
                (Verb::RollBack, ProposalState::Canary | ProposalState::Live) => ProposalState::RolledBack,
                (Verb::Insist, ProposalState::Refused) if one.report.is_some() && !one.insisted => {
                    (one.insisted, one.failures) = (true, 0);
                    one.phase = if one.variations.is_empty() { LearnPhase::Vary } else { LearnPhase::Try };
                    one.reasons.clear();
                    ProposalState::Working
                }
                (_, state) => return conflict(format!("the proposal is {}", state.name().replace('_', " "))),
            };
            (one.state, one.since, one.updated, one.share) = (to, at, at, canary);
            one.said.push(Said { account, name, what: verb.name().into(), why, at });
            Ok(())
        };
        match self.feed.database().change_proposal(id, change).await {
            Ok((proposal, entries)) => {
                self.feed.publish(entries).await;
                Ok(proposal)
            }
            Err(StoreError::Conflict(why)) => refused(why),
            Err(StoreError::Missing(what)) => Err(RuleError::Missing(what)),
            Err(error) => Err(error.into()),
        }
    }

    /// Somebody else says that a reported false alarm is one, and its text is kept among the harmless ones; or that it is none.
    ///
    /// # Errors
    /// `Refused` for the reporter's own report, and for one that does not wait.
    pub async fn judge_report(&self, id: &str, harmless: bool, who: &Who, why: Arc<str>) -> Result<Report, RuleError> {
        if !who.is_person {
            return refused("a person decides this, signed in; an API token cannot");
        }
        let database = self.feed.database();
        let known = database.report_of(id).await?.ok_or(RuleError::Missing("report"))?;
        let may = |report: &Report, account: &Arc<str>| {
            if report.state != ReportState::Open || report.kind != ReportKind::FalseAlarm {
                return Err(StoreError::Conflict("only a false alarm that waits is confirmed or dismissed".to_owned()));
            }
            if harmless && report.reporters.iter().any(|one| one.account == *account) {
                return Err(StoreError::Conflict("nobody confirms what they reported".to_owned()));
            }
            Ok(())
        };
        let told = |error| match error {
            StoreError::Conflict(why) => RuleError::Refused(why),
            StoreError::Full(why) => RuleError::Refused(why.to_owned()),
            StoreError::Missing(what) => RuleError::Missing(what),
            other => other.into(),
        };
        may(&known, &who.account).map_err(told)?;
        let at = now();
        if harmless {
            // First the text: added twice it is there once.
            let text = HarmlessText {
                id: format!("txt_{}", uuid::Uuid::now_v7().simple()).into(),
                print: Arc::clone(&known.print),
                text: known.text.clone(),
                user: known.user.clone(),
                by: Arc::clone(&who.name),
                at,
            };
            database.add_harmless(&text, self.options.max_harmless).await.map_err(told)?;
        }
        let (account, name) = (Arc::clone(&who.account), Arc::clone(&who.name));
        let (state, what) =
            if harmless { (ReportState::Learned, "confirm") } else { (ReportState::Dismissed, "dismiss") };
        let change = move |report: &mut Report| {
            may(report, &account)?;
            (report.state, report.updated) = (state, at);
            report.ruling = Some(Said { account, name, what: what.into(), why, at });
            Ok(())
        };
        let (report, entries) = database.change_report(id, change).await.map_err(told)?;
        self.feed.publish(entries).await;
        Ok(report)
    }

    /// Adds a harmless text of this site; says whether it was new, and its id.
    ///
    /// # Errors
    /// `Refused` when there are as many as may be.
    pub async fn add_harmless(&self, text: String, who: &Who) -> Result<(HarmlessText, bool), RuleError> {
        if !who.is_person {
            return refused("a person says what is harmless, signed in; an API token cannot");
        }
        if text.trim().is_empty() || text.len() > self.options.max_text {
            return Err(RuleError::Invalid(format!("a text has 1 to {} bytes", self.options.max_text)));
        }
        let text = HarmlessText {
            id: format!("txt_{}", uuid::Uuid::now_v7().simple()).into(),
            print: print(&text),
            text,
            user: None,
            by: Arc::clone(&who.name),
            at: now(),
        };
        match self.feed.database().add_harmless(&text, self.options.max_harmless).await {
            Ok(is_new) => Ok((text, is_new)),
            Err(StoreError::Full(why)) => refused(why),
            Err(error) => Err(error.into()),
        }
    }
}
