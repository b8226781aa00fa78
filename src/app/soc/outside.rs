//! What the security operations centre has to do with others: models, channels, and the systems that send alerts.

use std::sync::Arc;
use std::time::Duration;

use crate::app::Error;
use crate::config::soc_outside::{Channel as ChannelSettings, ChannelKind};
use crate::config::soc_settings::Soc as SocSettings;
use crate::config::{self, Handle};
use crate::control::api::soc::ingest::{IngestOptions, IngestSource, IngestSources};
use crate::control::http::{Http, Options as HttpOptions, Reach};
use crate::control::soc::breaker::Limits as BreakerLimits;
use crate::control::soc::knowledge::{Scorer, ScorerNow, Scores};
use crate::control::soc::model::{ChatModel, EndpointOptions};
use crate::control::soc::notify::{Channel, Channels, Mail, MailOptions, MailSecurity, PagerDuty, Slack, Webhook};
use crate::telemetry::Metrics;
use crate::types::Secret;

/// How long others may take to accept a connection.
pub(super) const CONNECT: Duration = Duration::from_secs(5);

/// Bytes of an answer of a model, and of a channel.
pub(super) const MODEL_ANSWER: usize = 1 << 20;
const CHANNEL_ANSWER: usize = 16 << 10;

/// Bytes of a question to a model.
const MODEL_QUESTION: usize = 256 << 10;

/// What is wrong, and with what.
pub(super) fn wrong(what: &str) -> impl Fn(String) -> Error + '_ {
    move |why| Error::Soc(format!("{what}: {why}"))
}

pub(in crate::app) fn model(settings: &SocSettings, reviewer: bool) -> Result<Option<ChatModel>, Error> {
    let outside = &settings.analyst;
    let Some(base_url) = outside.base_url.as_ref().filter(|_| !reviewer || outside.reviewer) else { return Ok(None) };
    let options = EndpointOptions {
        base_url: base_url.clone(),
        model: outside.model.clone(),
        key: secret(outside.api_key_env.as_deref(), outside.api_key_file.as_deref())?,
        ca: None,
        connect: CONNECT,
        timeout: outside.timeout.get(),
        max_answer: MODEL_ANSWER,
    };
    ChatModel::new(&options, outside.max_tokens, MODEL_QUESTION).map(Some).map_err(wrong("analyst"))
}

/// The cross-encoder as the configuration says now.
pub(super) fn scorer(handle: &Arc<Handle>) -> ScorerNow {
    let handle = Arc::clone(handle);
    Arc::new(move || {
        let snapshot = handle.load();
        let model = Arc::clone(snapshot.cross_encoder.as_ref()?);
        let outside = &snapshot.settings.soc.analyst;
        let (least, timeout) = (outside.supported_from, outside.cross_timeout.get());
        let score = move |pairs| -> Scores {
            Box::pin(async move {
                let scores = model.score(pairs, timeout).await;
                scores.map_err(|failure| format!("the cross-encoder gave no answer ({failure})"))
            })
        };
        Some(Scorer { score: Box::new(score), least })
    })
}

pub(super) fn channels(settings: &SocSettings, metrics: &Metrics) -> Result<Channels, Error> {
    let made = settings.notify.iter().map(|channel| Ok((Arc::from(channel.name.as_str()), self::channel(channel)?)));
    let made: Vec<(Arc<str>, Channel)> = made.collect::<Result<_, Error>>()?;
    Ok(Channels::new(made, BreakerLimits::default(), metrics.clone()))
}

fn channel(settings: &ChannelSettings) -> Result<Channel, Error> {
    let told = format!("notify `{}`", settings.name);
    let told = wrong(&told);
    let needs = |what: &str| told(format!("it needs {what}"));
    let http = || -> Result<Http, Error> {
        let options = HttpOptions {
            connect: CONNECT,
            total: settings.timeout.get(),
            max_answer: CHANNEL_ANSWER,
            kept: 1,
            // The operator's own file names the target.
            reach: Reach::Anywhere,
        };
        Ok(Http::new(config::towards(None).map_err(&told)?, options))
    };
    let url = match (&settings.url, &settings.url_env) {
        (Some(url), _) => Some(Secret::new(url.as_str())),
        (None, name) => secret(name.as_deref(), None)?,
    };
    let key = secret(settings.secret_env.as_deref(), None)?;
    let made = match settings.kind {
        ChannelKind::Webhook => {
            let url = url.ok_or_else(|| needs("url"))?;
            let key = key.ok_or_else(|| needs("secret_env"))?;
            Webhook::new(http()?, url.expose(), &[key]).map(Channel::Webhook)
        }
        ChannelKind::Slack => Slack::new(http()?, url.ok_or_else(|| needs("url_env"))?).map(Channel::Slack),
        ChannelKind::Pagerduty => {
            let key = key.ok_or_else(|| needs("secret_env"))?;
            PagerDuty::new(http()?, key, url.as_ref().map(Secret::expose)).map(Channel::PagerDuty)
        }
        ChannelKind::Email => Mail::new(mail(settings)?).map(Channel::Mail),
    };
    made.map_err(|why| told(why.to_owned()))
}

fn mail(settings: &ChannelSettings) -> Result<MailOptions, Error> {
    let told = format!("notify `{}`", settings.name);
    let told = wrong(&told);
    let server = settings.smtp.as_deref().unwrap_or_default();
    let (host, port) = server.rsplit_once(':').ok_or_else(|| told("smtp is host:port".to_owned()))?;
    let port = port.parse().map_err(|_| told("smtp is host:port".to_owned()))?;
    let here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    let login = match &settings.smtp_user {
        None => None,
        Some(user) => {
            let password = secret(settings.smtp_password_env.as_deref(), None)?;
            Some((user.clone(), password.ok_or_else(|| told("it needs smtp_password_env".to_owned()))?))
        }
    };
    Ok(MailOptions {
        host: host.to_owned(),
        port,
        security: if here { MailSecurity::Clear } else { MailSecurity::StartTls },
        login,
        from: settings.from.clone().unwrap_or_default(),
        to: settings.to.clone(),
        ca: None,
        timeout: settings.timeout.get(),
        reach: Reach::Anywhere,
    })
}

pub(super) fn ingest(settings: &SocSettings) -> Result<IngestSources, Error> {
    let settings = &settings.ingest;
    let mut sources = Vec::new();
    for source in &settings.sources {
        let secrets = secret(Some(&source.secret_env), None)?.into_iter().collect();
        sources.push(IngestSource { name: source.name.clone(), secrets });
    }
    let per_minute = settings.rate.saturating_mul(60).max(1);
    let options = IngestOptions {
        max_body: usize::try_from(settings.max_body.get()).unwrap_or(usize::MAX),
        max_alerts: settings.max_alerts,
        tolerance: settings.max_skew.get(),
        per_minute,
        // Both sides of now, so that a delivery is known again for as long as its time would do.
        remembered: usize::try_from(per_minute)
            .unwrap_or(usize::MAX)
            .saturating_mul(usize::try_from(settings.max_skew.get().as_secs().div_ceil(30)).unwrap_or(1)),
    };
    IngestSources::new(sources, options).map_err(wrong("ingest"))
}

/// A secret of the environment or a file; nothing where neither is named.
pub(in crate::app) fn secret(variable: Option<&str>, file: Option<&std::path::Path>) -> Result<Option<Secret>, Error> {
    if let Some(name) = variable {
        let value =
            std::env::var(name).map_err(|_| Error::Soc(format!("the environment variable {name} is not set")))?;
        return Ok(Some(Secret::new(value)));
    }
    let Some(path) = file else { return Ok(None) };
    let text = std::fs::read_to_string(path).map_err(|error| Error::Soc(format!("{}: {error}", path.display())))?;
    Ok(Some(Secret::new(text.trim())))
}
