//! Time spent in each stage of planning, from the spans that the stages open.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::span::Id;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// The bench's own span around the others.
pub(crate) const WHOLE: &str = "whole";

type Taken = Vec<(&'static str, Duration)>;

/// A listener that adds up how long spans of each name were entered.
#[derive(Default, Clone)]
pub(crate) struct Stages {
    taken: Arc<Mutex<Taken>>,
}

impl Stages {
    /// Listens on this thread until the guard is dropped.
    pub(crate) fn listen(&self) -> DefaultGuard {
        tracing::subscriber::set_default(tracing_subscriber::registry().with(self.clone()))
    }

    /// By stage, in the order in which they first ended.
    pub(crate) fn taken(&self) -> Taken {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<S> Layer<S> for Stages
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            span.extensions_mut().replace(Instant::now());
        }
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let Some(begun) = span.extensions().get::<Instant>().copied() else { return };
        let took = begun.elapsed();
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.iter_mut().find(|(name, _)| *name == span.name()) {
            Some((_, sum)) => *sum += took,
            None => taken.push((span.name(), took)),
        }
    }
}
