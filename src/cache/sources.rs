//! How new the sources' data are, asked for no more often than needed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::backend::{Backend, BackendError, SourceState};
use crate::model::Source;

/// A state is asked for anew after this long, or after the freshness budget if that is shorter: an
/// answer from the cache can be this much older than the data, which is far below any budget.
const POLL: Duration = Duration::from_secs(2);

/// The states of all sources, as last seen.
#[derive(Debug, Default)]
pub struct SourceStates {
    /// By table; bounded by the tables of the definitions.
    states: std::sync::Mutex<HashMap<String, Arc<Slot>>>,
}

/// One source. The lock is held while the backend is asked, so that it is asked once.
#[derive(Debug, Default)]
struct Slot {
    seen: Mutex<Option<(Instant, SourceState)>>,
}

impl SourceStates {
    /// The state of a source, at most `budget` old.
    ///
    /// # Errors
    /// What the backend answers.
    pub async fn get(
        &self,
        backend: &dyn Backend,
        source: &Source,
        budget: Option<Duration>,
    ) -> Result<SourceState, BackendError> {
        let max_age = budget.map_or(POLL, |budget| budget.min(POLL));
        let slot = {
            let mut states = self.states.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            Arc::clone(states.entry(source.table.clone()).or_default())
        };
        let mut seen = slot.seen.lock().await;
        if let Some((at, state)) = seen.as_ref()
            && at.elapsed() < max_age
        {
            return Ok(state.clone());
        }
        let state = backend.freshness(source).await?;
        *seen = Some((Instant::now(), state.clone()));
        Ok(state)
    }

    /// What is known now, by table, with the time since it was asked for; a source that is being
    /// asked about is left out.
    pub fn known(&self) -> HashMap<String, (Duration, SourceState)> {
        let states = self.states.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let known = states.iter().filter_map(|(table, slot)| {
            let seen = slot.seen.try_lock().ok()?;
            let (at, state) = seen.as_ref()?;
            Some((table.clone(), (at.elapsed(), state.clone())))
        });
        known.collect()
    }
}
