//! "Did you mean …?"

/// Names listed in a help, at most; more would bury the one that helps.
const LISTED_MAX: usize = 20;

/// The name that was probably meant.
pub(crate) fn nearest<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let written = written.to_lowercase();
    let mut best: Option<(&str, f64)> = None;
    for name in known {
        let likeness = strsim::jaro_winkler(&written, &name.to_lowercase());
        let edits = strsim::damerau_levenshtein(&written, &name.to_lowercase());
        let close = edits <= 1 + written.chars().count() / 4 || likeness > 0.9;
        if close && best.is_none_or(|(_, other)| likeness > other) {
            best = Some((name, likeness));
        }
    }
    best.map(|(name, _)| name)
}

/// A whole sentence that names the nearest name, else all of them after `intro`.
pub(crate) fn help<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
    intro: &str,
) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(written, known.iter().copied()) {
        Some(name) => Some(format!("Did you mean \"{name}\"?")),
        None if known.is_empty() => None,
        None => Some(format!("{intro}: {}.", listed(&known))),
    }
}

/// Names in a row, the first ones where they are many.
pub(crate) fn listed(names: &[&str]) -> String {
    match names.len() > LISTED_MAX {
        true => {
            format!("{}, and {} more", names[..LISTED_MAX].join(", "), names.len() - LISTED_MAX)
        }
        false => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_find_their_name_and_strangers_none() {
        let known = ["completed_at", "ordered_at", "status"];
        assert_eq!(nearest("complted_at", known), Some("completed_at"));
        assert_eq!(nearest("staus", known), Some("status"));
        assert_eq!(nearest("country", known), None);
        assert_eq!(
            help("country", known, "The keys are").unwrap(),
            "The keys are: completed_at, ordered_at, status."
        );
    }
}
